import { beforeEach, describe, expect, it } from 'vitest';
import sample from '../../../events/secret-adopted/sample.json' with { type: 'json' };
import { recordAdoption } from '../../../functions/record-adoption/record-adoption.ts';
import type { KeptAdoption } from '../../../shared/state/adoptions.ts';

const ownArns = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:';
let kept: KeptAdoption[];
let logged: unknown[];
let counts: unknown[];
beforeEach(() => {
  kept = [];
  logged = [];
  counts = [];
});

const heard = (event: unknown, keep = async (adoption: KeptAdoption) => kept.push(adoption) > 0) =>
  recordAdoption(event, {
    keep,
    ownArns,
    log: { warn: (...line: unknown[]) => void logged.push(line) },
    count: (...one) => void counts.push(one),
  });
const ofSecret = (secretArn: string) => ({ ...sample, detail: { ...sample.detail, secretArn } });
const { secretArn } = sample.detail;

it('keeps an adoption of its own account and region, and says nothing of it', async () => {
  await heard(sample);
  expect(kept).toMatchObject([{ secretArn, agentInstanceId: sample.detail.agentInstanceId }]);
  expect([logged, counts]).toEqual([[], []]);
});

describe('an adoption that is not as it must be ends well, so that no agent fills the dead letters', () => {
  it.each(
    Object.entries({
      'of a secret of another account': ofSecret(secretArn.replace(':123456789012:', ':999999999999:')),
      'of a secret of another region': ofSecret(secretArn.replace(':eu-central-1:', ':us-west-2:')),
      'of a secret of another partition': ofSecret(secretArn.replace('arn:aws:', 'arn:aws-cn:')),
      'from another account': { ...sample, account: '999999999999' },
      'from another region': { ...sample, region: 'us-west-2' },
      'with a field that its contract does not know': {
        ...sample,
        detail: { ...sample.detail, password: 'hunter2' },
      },
    }),
  )('%s: nothing is kept, and its agent is named', async (_, event) => {
    await heard(event);
    expect(kept).toEqual([]);
    expect(logged).toEqual([
      [
        'Adoption refused',
        {
          source: 'keyturn.agent.billing-7',
          errorClass: 'UnexpectedShapeError',
          reason: expect.stringMatching(/^Secret Adopted is not what its contract says: /),
        },
      ],
    ]);
    expect(JSON.stringify(logged)).not.toMatch(/hunter2|999999999999|us-west-2/);
    expect(counts).toEqual([['Adoptions', { outcome: 'refused' }]]);
  });

  it.each([
    'keyturn',
    'keyturn.agent.a\nERROR all is lost',
    `keyturn.agent.${'a'.repeat(300)}`,
    7,
    undefined,
  ])('whose source is no agent id, %j, is not named', async (source) => {
    await heard({ ...sample, source });
    expect(kept).toEqual([]);
    expect(logged).toEqual([['Adoption refused', expect.objectContaining({ source: undefined })]]);
  });
});

it('an adoption that can not be kept fails, and comes again', async () => {
  const refused = heard(sample, async () => {
    throw new Error('throttled');
  });
  await expect(refused).rejects.toThrow('throttled');
  expect(counts).toEqual([]);
});
