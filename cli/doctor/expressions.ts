import type { StackResource } from '../stack-resources.ts';
import type { Statement } from './role-policies.ts';

/** CloudFormation's own parameters, as they look where they are filled in. */
const pseudo: Readonly<Record<string, string>> = {
  'AWS::Partition': 'aws[a-z-]*',
  'AWS::Region': '[a-z0-9-]+',
  'AWS::AccountId': '\\d{12}',
};

/**
 * Whether a statement is the one that a template had deployed. Expressions are compared by what they refer to: a resource of the
 * stack by its name, the region and the account by their looks.
 */
export function isDeployedAs(
  held: Statement,
  deployed: Statement,
  resources: readonly StackResource[],
): boolean {
  const same = (values: readonly unknown[], templates: readonly unknown[]) =>
    values.length === templates.length &&
    templates.every((template) => values.some((value) => fits(template, value, resources)));
  const conditions = entriesOf(held);
  const wanted = entriesOf(deployed);
  return (
    held.Effect === deployed.Effect &&
    same(held.Action, deployed.Action) &&
    same(held.Resource, deployed.Resource) &&
    conditions.size === wanted.size &&
    [...wanted].every(([key, templates]) => same(conditions.get(key) ?? [], templates))
  );
}

const entriesOf = ({ Condition }: Statement): ReadonlyMap<string, readonly unknown[]> =>
  new Map(
    Object.entries(Condition).flatMap(([operator, keys]) =>
      Object.entries(keys).map(([key, values]) => [`${operator} ${key}`, values] as const),
    ),
  );

/** Whether a value may be what CloudFormation made of a template's. */
export function fits(template: unknown, value: unknown, resources: readonly StackResource[]): boolean {
  return new RegExp(`^${patternOf(template, resources)}$`, 's').test(String(value));
}

function patternOf(template: unknown, resources: readonly StackResource[]): string {
  if (typeof template !== 'object' || template === null) return escaped(String(template));
  const [[expression, of] = []] = Object.entries(template);
  if (expression === 'Ref') return referredTo(String(of), resources);
  if (expression === 'Fn::GetAtt') return referredTo(String([of].flat()[0]).split('.')[0] ?? '', resources);
  if (expression === 'Fn::Sub' && typeof of === 'string') {
    return of
      .split(/(\$\{[^}]+\})/)
      .map((part) => {
        const name = /^\$\{([^}.]+)/.exec(part)?.[1];
        return name === undefined ? escaped(part) : referredTo(name, resources);
      })
      .join('');
  }
  return '.+';
}

/** Names, ARNs and addresses of a resource end with the same words. */
function referredTo(name: string, resources: readonly StackResource[]): string {
  const { physicalId } = resources.find(({ logicalId }) => logicalId === name) ?? {};
  const own = physicalId?.split('/').at(-1);
  return pseudo[name] ?? (own === undefined ? '.+' : `(?:.*[:/])?${escaped(own)}`);
}

/** `RegExp.escape` of a later Node. */
const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
