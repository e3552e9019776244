import type { EvaluationResult } from '@aws-sdk/client-iam';
import pMap from 'p-map';
import { sentenceOf } from '../failure.ts';
import { type Check, type DoctorParts, unknown, type Verdict, well, wrong } from './check.ts';
import { fits, isDeployedAs } from './expressions.ts';
import { type RolePolicies, rolePolicies, type Statement } from './role-policies.ts';
import { knowsConditions, refusedOf } from './simulation.ts';

type Verdicts = readonly Omit<Verdict, 'check'>[];

/**
 * Whether each role has what the deployment gave it, and no more; and whether it may do all of that, for a boundary or the
 * organisation may take it away. What a role needs is written in functions/NAME/deploy.yml, and nowhere here.
 */
export const functionsMay: Check = {
  name: 'permissions',
  async run(parts) {
    const roles = await rolePolicies(parts);
    const changed = roles.flatMap((role) => changesOf(role, parts));
    const refused = await refusals(roles, parts).catch((error: unknown) => [
      unknown(
        `the policy simulator could not be asked: ${sentenceOf(error)}`,
        'what a boundary or the organisation takes from a role needs iam:SimulatePrincipalPolicy to be seen',
      ),
    ]);
    const isAsDeployed =
      changed.length === 0 ? [well(`${roles.length} roles are as they were deployed`)] : [];
    const mayAll = refused.length === 0 ? [well('each may do what it has to, by the policy simulator')] : [];
    return [...changed, ...isAsDeployed, ...refused, ...mayAll];
  },
};

function changesOf(
  { logicalId, deployed, deployedManaged, held, heldManaged }: RolePolicies,
  { resources }: DoctorParts,
): Verdicts {
  const isHeld = (wanted: Statement) => held.some((each) => isDeployedAs(each, wanted, resources));
  const isWanted = (had: Statement) => deployed.some((each) => isDeployedAs(had, each, resources));
  const isAttached = (wanted: unknown) => heldManaged.some((arn) => fits(wanted, arn, resources));
  const isToBeAttached = (arn: string) => deployedManaged.some((each) => fits(each, arn, resources));
  return [
    ...deployed
      .filter((each) => !isHeld(each))
      .map(({ Effect, Action }) =>
        wrong(`${logicalId} lost a statement: ${Effect} ${Action.join(', ')}`, 'deploy again'),
      ),
    ...held
      .filter((each) => !isWanted(each))
      .map(({ Effect, Action }) =>
        wrong(
          `${logicalId} has a statement that was not deployed: ${Effect} ${Action.join(', ')}`,
          'find out who wrote it; deploy again',
        ),
      ),
    ...(deployedManaged.every(isAttached)
      ? []
      : [wrong(`${logicalId} lost a policy that was attached to it`, 'deploy again')]),
    ...heldManaged
      .filter((arn) => !isToBeAttached(arn))
      .map((arn) =>
        wrong(`${logicalId} has a policy that was not deployed: ${arn}`, 'find out who attached it'),
      ),
  ];
}

async function refusals(roles: readonly RolePolicies[], parts: DoctorParts): Promise<Verdicts> {
  const { iam, output, resources } = parts;
  const simulatesConditions = await knowsConditions(iam);
  const [, partition = '', , , account = ''] = output('AlertTopicArn').split(':');
  const asked = roles.flatMap(({ logicalId, roleName, deployed, held }) =>
    held
      .filter((each) => deployed.some((wanted) => isDeployedAs(each, wanted, resources)))
      .filter(({ Effect }) => Effect === 'Allow')
      .map((statement) => ({
        logicalId,
        arn: `arn:${partition}:iam::${account}:role/${roleName}`,
        statement,
      })),
  );
  const isTold = ({ Condition }: Statement) => simulatesConditions || Object.keys(Condition).length === 0;
  const found = await pMap(
    asked.filter(({ statement }) => isTold(statement)),
    async ({ logicalId, arn, statement }) =>
      (await refusedOf(iam, arn, statement)).map((refused) => refusal(logicalId, refused)),
    // IAM takes few calls a second.
    { concurrency: 2 },
  );
  const untold = asked.filter(({ statement }) => !isTold(statement)).length;
  return [
    ...found.flat(),
    ...(untold === 0
      ? []
      : [
          unknown(
            `${untold} statements have conditions, which this policy simulator ignores`,
            'an emulator of AWS; nothing to do',
          ),
        ]),
  ];
}

function refusal(
  logicalId: string,
  { EvalActionName = '', OrganizationsDecisionDetail, PermissionsBoundaryDecisionDetail }: EvaluationResult,
): Omit<Verdict, 'check'> {
  const by =
    OrganizationsDecisionDetail?.AllowedByOrganizations === false
      ? "the organisation's policies (SCP)"
      : PermissionsBoundaryDecisionDetail?.AllowedByPermissionsBoundary === false
        ? "the role's permissions boundary"
        : 'what denies it: another policy of the role, or of the resource';
  return wrong(`${logicalId} may not ${EvalActionName}`, `look at ${by}`);
}
