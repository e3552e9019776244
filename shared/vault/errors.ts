/** Vault is sealed: nothing can be read until someone unseals it. Worth a retry. */
export class VaultSealedError extends Error {
  override readonly name = 'VaultSealedError';
}
/** The node that answered is a standby and does not serve this request, or not yet. Worth a retry. */
export class VaultStandbyError extends Error {
  override readonly name = 'VaultStandbyError';
}
/** No answer: refused, reset or timed out. Worth a retry. */
export class VaultUnreachableError extends Error {
  override readonly name = 'VaultUnreachableError';
}
/** The login or its policy does not allow the request. */
export class VaultDeniedError extends Error {
  override readonly name = 'VaultDeniedError';
}
/** Somebody wrote the key since its version was read. Read again. */
export class CasMismatchError extends Error {
  override readonly name = 'CasMismatchError';
}
/** Vault answered something that the adapter does not know. */
export class VaultResponseError extends Error {
  override readonly name = 'VaultResponseError';
}
