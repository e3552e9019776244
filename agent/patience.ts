/** For AWS clients, in milliseconds. An attempt without an end would hold up everyone who waits for it, so none is without. */
export const PATIENCE = { connectionTimeout: 2_000, requestTimeout: 5_000, throwOnRequestTimeout: true };
