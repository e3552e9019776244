/** As much of Babel's path as is looked at. */
interface Path {
  readonly node: {
    readonly type: string;
    readonly callee?: { readonly type: string; readonly name?: string };
  };
  readonly parentPath: Path | null;
  readonly key: string | number | null;
}

/**
 * A plugin of Stryker's: the sentence of an error may be worded otherwise, and tests hold to its class. All other text is
 * mutated: SQL, labels, names. What InvalidSecretError is told first is no sentence, but the name of a field.
 */
export const strykerPlugins = [
  {
    kind: 'Ignore',
    name: 'wording',
    value: {
      shouldIgnore({ node, parentPath, key }: Path): string | undefined {
        if (node.type !== 'StringLiteral' && node.type !== 'TemplateLiteral') return undefined;
        const { type, callee } = parentPath?.node ?? {};
        const isError =
          (type === 'NewExpression' && callee?.name?.endsWith('Error')) ||
          (type === 'CallExpression' && callee?.type === 'Super');
        const isField = callee?.name === 'InvalidSecretError' && key === 0;
        return isError && !isField ? 'The wording of an error' : undefined;
      },
    },
  },
];
