/** What the names of a region's services end with, such as `sts.{region}.{suffix}`: China is a partition of its own. */
export const dnsSuffixOf = (region: string) =>
  region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
