import { inject } from 'vitest';
import { lend } from '../integration/rotation/lent-server.ts';

lend(inject('lentPostgres'));
