import type { PostgresModel } from './postgres-model.ts';

/** EventBridge dates the move of a label by the second, so a grace period is counted from the second it began in. */
const grainMs = 1_000;

/** What must never be, and was. */
export interface Violation {
  readonly invariant: string;
  readonly what: string;
  readonly secret: string;
  readonly atMs: number;
}

/** What has to follow when a version came into force. */
export type Effect = 'announced' | 'published' | 'mirrored';

export interface Login {
  readonly versionId: string;
  readonly username: string;
  readonly password: string;
}

export interface Superseded {
  readonly login: Login;
  until: number;
  /** Another rotation began before its grace was over, and takes its login: see docs/reliability.md. */
  overtaken: boolean;
}

/** What the oracle keeps of one secret: which versions were in force, and until when each has to work. */
export interface Watched {
  readonly secret: string;
  readonly group: string;
  readonly dual: boolean;
  readonly graceMs: number;
  readonly model: PostgresModel;
  readonly mirrored: boolean;
  readonly superseded: Superseded[];
  /** Versions in the order in which they came into force. */
  readonly order: string[];
  readonly passwords: Set<string>;
  /** What followed each version that came into force: an effect and the version. */
  readonly effects: Set<string>;
  current: Login | undefined;
  rotations: number;
  mirroredAt: number;
  alerts: { readonly state: string; readonly key: string }[];
}

/** Judges the world from outside: it reads the models, and asks no code under test. */
export class Oracle {
  readonly violations: Violation[] = [];
  readonly #now: () => number;
  readonly #watched = new Map<string, Watched>();
  readonly #dirty = new Set<Watched>();

  constructor(now: () => number) {
    this.#now = now;
  }

  watch(watched: Watched): void {
    this.#watched.set(watched.group, watched);
  }

  violated(invariant: string, secret: string, what: string): void {
    this.violations.push({ invariant, secret, what, atMs: this.#now() });
  }

  /** A role changed, so what its agent holds may have stopped working. */
  touched(role: string): void {
    const watched = this.#watched.get(role) ?? this.#watched.get(role.replace(/_[ab]$/, ''));
    if (watched) this.#dirty.add(watched);
  }

  /** AWSCURRENT moved. */
  moved(watched: Watched, to: Login, from: Login | undefined): void {
    watched.current = to;
    watched.order.push(to.versionId);
    watched.passwords.add(to.password);
    if (from)
      watched.superseded.push({ login: from, until: this.#now() + watched.graceMs, overtaken: false });
    this.#dirty.add(watched);
  }

  /** A rotation began: what the last one superseded has to work no longer. Gives how many that cut short. */
  begun(watched: Watched): number {
    const running = watched.superseded.filter(({ until }) => until > this.#now());
    for (const one of running) {
      one.until = this.#now();
      one.overtaken = true;
    }
    return running.length;
  }

  placeOf(watched: Watched, versionId: string): number {
    return watched.order.lastIndexOf(versionId);
  }

  /** After every event. False ends the run. */
  holds(): boolean {
    for (const watched of this.#dirty) this.#check(watched);
    this.#dirty.clear();
    return this.violations.length === 0;
  }

  #check(watched: Watched): void {
    const { model, group, dual, current, secret } = watched;
    if (model.unknown !== undefined) this.violated('the model knows every statement', secret, model.unknown);
    // One login has one password: between the target's change and the label's move nothing can hold.
    if (!dual || !current) return;
    if (!model.worksAs(current.username, current.password, group)) {
      this.violated('AWSCURRENT authenticates and has its grants', secret, `version ${current.versionId}`);
    }
    const now = this.#now();
    for (let at = watched.superseded.length - 1; at >= 0; at -= 1) {
      const one = watched.superseded[at];
      if (!one || one.until - grainMs <= now) break;
      if (!model.worksAs(one.login.username, one.login.password, group)) {
        const early = Math.round((one.until - now) / 1_000);
        this.violated(
          'a superseded credential works until its grace ends',
          secret,
          `version ${one.login.versionId} stopped ${early} s early`,
        );
      }
    }
  }

  /** Nothing that is logged or published holds a password. */
  said(watched: Watched, text: string, where: string): void {
    for (const password of watched.passwords) {
      if (text.includes(password)) this.violated('no secret is ever said', watched.secret, where);
    }
  }

  /** An episode opens once and ends once. The same alert twice is what a lost answer of SNS may cause. */
  alerted(watched: Watched, state: string, key: string): void {
    const last = watched.alerts.at(-1);
    // After a crash the whole outbox is sent again.
    if (watched.alerts.some((sent) => sent.key === key)) return;
    if (last?.state === state || (!last && state === 'recovered')) {
      this.violated('one alert an episode', watched.secret, `${state} again`);
    }
    watched.alerts.push({ state, key });
  }

  /** Somebody was told that AWSCURRENT moved to a version. */
  told(watched: Watched, effect: Effect, versionId: string): void {
    watched.effects.add(`${effect} ${versionId}`);
    if (!watched.order.includes(versionId)) {
      this.violated(
        'nothing is announced before it is so',
        watched.secret,
        `version ${versionId} was ${effect}`,
      );
    }
  }

  /** A function has said that it dealt with the move of AWSCURRENT to a version that was in force all the while. */
  acknowledged(watched: Watched, effect: Effect, versionId: string): void {
    if (effect === 'mirrored' && !watched.mirrored) return;
    if (watched.effects.has(`${effect} ${versionId}`)) return;
    this.violated(
      'no event is taken and dropped',
      watched.secret,
      `version ${versionId} was never ${effect}`,
    );
  }

  mirrored(watched: Watched, password: string, versionOf: (password: string) => string | undefined): void {
    const versionId = versionOf(password);
    const place = versionId === undefined ? -1 : this.placeOf(watched, versionId);
    if (place < watched.mirroredAt) {
      this.violated('a mirror never goes back', watched.secret, `from ${watched.mirroredAt} to ${place}`);
    }
    watched.mirroredAt = place;
    watched.effects.add(`mirrored ${versionId}`);
  }
}
