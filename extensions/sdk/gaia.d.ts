// Types of the policies of gaia: what a file may export, and the module "gaia".
//
// A policy exports hooks by name. An object of them exported by default is taken as
// well: `export default { onRequest(req) { ... } } satisfies Policy`. Both for one hook
// is an error.
//
// Times are milliseconds, or a text with its unit: 250, "250ms", "2s", "1m30s". What
// gaia gives is always a number of milliseconds.
//
// There are no timers, no modules but the policy's own files, no disk and no network. A
// hook must be synchronous: to wait, return a decision that says so.

declare module "gaia" {
  /** Milliseconds, or a text with its unit: "250ms", "2s", "1m30s". */
  export type Duration = number | string;

  /** The five kinds of work that policies steer. */
  export type Subsystem = "api" | "files" | "browser" | "process" | "network";

  /** Live numbers of the request's subsystem and key. */
  export interface Stats {
    /** Operations that started and did not end. */
    readonly inFlight: number;
    /** Operations that wait to start. */
    readonly queued: number;
    /** Ended operations a second, over the last seconds. */
    readonly rate: number;
    /** The share of them that failed, 0 to 1. */
    readonly errorRate: number;
    /** Half of them took no longer, in milliseconds. */
    readonly p50: number;
    /** 95 of 100 took no longer, in milliseconds. */
    readonly p95: number;
  }

  /**
   * One operation, asked once for each attempt. A read-only view that is valid during
   * the hook only: copy the values that you keep.
   */
  export interface Request {
    readonly subsystem: Subsystem;
    /** What is done: "request", "read", "write", "launch", "open", "start", "resolve", "connect"... */
    readonly action: string;
    /** What limits count on: the route's name or the host; root, engine, program elsewhere. */
    readonly key: string;
    readonly method: string;
    /** As it will be sent, without credentials. */
    readonly url: string;
    /** In lower case, with a port only where it is not the default. */
    readonly host: string;
    readonly path: string;
    /** From the field Gaia-Tenant; "" without one. */
    readonly tenant: string;
    /** 0 to 9, 9 the most urgent; 5 unless told. */
    readonly priority: number;
    /** 1 for the first. */
    readonly attempt: number;
    /** In units of the limits; 1 unless told. */
    readonly cost: number;
    /** Bytes of the body; undefined where it is not known. */
    readonly size: number | undefined;
    /** Milliseconds since 1970; virtual in experiments. Date.now() says the same. */
    readonly now: number;
    /** When the caller gives up, in the clock of `now`; undefined: never. */
    readonly deadline: number | undefined;
    readonly stats: Stats;
    /** A field of the request. Several of one name are joined by ", ". */
    header(name: string): string | undefined;
    /** A JSON scalar of the body that `options.body` asked for, as text; undefined where there is none. */
    body(name: string): string | undefined;
  }

  /** How an attempt ended or, in onResponse, how it answered so far. A view like Request. */
  export interface Response {
    /** 0 where there was no answer. */
    readonly status: number;
    /** The kind of failure where there was no answer. */
    readonly error: "timeout" | "refused" | "reset" | "canceled" | "denied" | "too_large" | "error" | undefined;
    /** Milliseconds since the attempt started. */
    readonly duration: number;
    /** Bytes of the body; undefined while they are not known. */
    readonly bytes: number | undefined;
    /** What the other side asked for, in milliseconds. */
    readonly retryAfter: number | undefined;
    /** The name of the upstream that answered. */
    readonly upstream: string | undefined;
    /** A field of the answer. */
    header(name: string): string | undefined;
    /** A JSON scalar of the answer that `options.body` asked for, as text, in onDone; undefined where there is none. */
    body(name: string): string | undefined;
  }

  /** One candidate of onRoute. */
  export interface Upstream {
    readonly name: string;
    readonly host: string;
    readonly weight: number;
    readonly healthy: boolean;
    readonly inFlight: number;
    readonly errorRate: number;
    readonly p50: number;
    readonly p95: number;
    /** What its limits have left; undefined where that is not known. */
    readonly remaining: number | undefined;
  }

  /** Numbers of one subsystem by name, such as in_flight. */
  export type Numbers = Readonly<Record<string, number>>;

  /** What onTick gets. A subsystem without numbers is undefined. */
  export interface Tick extends Readonly<Record<Subsystem, Numbers | undefined>> {
    /** Milliseconds since 1970. */
    readonly now: number;
  }

  /** Fields that go with any decision. */
  export interface Init {
    /** What the configured limits count on instead of req.key. */
    key?: string;
    /** The name of an upstream. */
    upstream?: string;
    /** Bounds the attempt. */
    timeout?: Duration;
    /** A whole number, 0 or more. */
    cost?: number;
    /** 0 to 9. */
    priority?: number;
    /** Set on the request to the upstream; at most 16. */
    headers?: Record<string, string>;
    /** Shown to the caller and in logs; at most 256 bytes. */
    reason?: string;
  }

  /**
   * A decision as the words below build it. One that is built at module scope may be
   * returned again and again and costs least; one built in a hook is for that hook.
   */
  export interface Decision {
    readonly action: "none" | "allow" | "deny" | "delay" | "route" | "retry";
    /** False for a denial. */
    readonly ok: boolean;
    /** Of a denial; 0 is 429. */
    readonly status: number | undefined;
    readonly reason: string | undefined;
    /** Of a denial: when to come back, in milliseconds. */
    readonly retryAfter: number | undefined;
    /** How long it makes the caller wait, in milliseconds. */
    readonly wait: number;
    /** What the limiter of admit() has left. */
    readonly remaining: number | undefined;
    readonly upstream: string | undefined;
  }

  /**
   * A decision written as an object; slower than the words. Without an action: deny
   * where there is a status or retryAfter, delay where there is a delay, else allow.
   */
  export interface DecisionInit extends Init {
    action?: "allow" | "deny" | "delay" | "route";
    /** Of deny: 400 to 599. */
    status?: number;
    /** Of deny. */
    retryAfter?: Duration;
    /** Of delay. */
    delay?: Duration;
    /** Another name of delay. */
    for?: Duration;
  }

  /** Nothing: no opinion. true: allow. false: deny with 429. */
  export type Answer = Decision | DecisionInit | boolean | null | undefined | void;

  /** Before each attempt: let it go, refuse it, make it wait, send it elsewhere. */
  export type OnRequest = (req: Request) => Answer;
  /** Where onRequest named no upstream: the name of one, or nothing. */
  export type OnRoute = (req: Request, upstreams: readonly Upstream[]) => string | Decision | { upstream: string } | null | undefined | void;
  /** At the headers of the answer: retry(...), or nothing. */
  export type OnResponse = (req: Request, res: Response) => Decision | { action: "retry"; after?: Duration; upstream?: string } | true | null | undefined | void;
  /** At the end of each attempt that started. What it returns is ignored. */
  export type OnDone = (req: Request, res: Response) => void;
  /** Once a second, in every guest. What it returns is ignored. */
  export type OnTick = (tick: Tick) => void;

  /** Texts with * for any run of characters; a list is an alternative. */
  export interface Match {
    subsystem?: string | string[];
    host?: string | string[];
    path?: string | string[];
    method?: string | string[];
    tenant?: string | string[];
  }

  /** `export const options`, read once at load. The operator's configuration wins over it. */
  export interface Options {
    /** What the policy is asked about; natively evaluated. Nothing: everything. */
    match?: Match | Match[];
    /**
     * "single" (default): one guest, so module variables just work. "key": several, a
     * request goes to the same one for the same key. "pool": several that share nothing.
     */
    isolation?: "single" | "key" | "pool";
    /** Wall time of one hook, 5 ms by default. */
    budget?: Duration;
    /** What answers when the policy fails: no opinion (default), deny 503, the earlier version. */
    onFailure?: "open" | "closed" | "previous";
    /** JSON scalars of bodies that req.body() and res.body() may read: keys joined by dots, such as "usage.total_tokens". At most 16. */
    body?: string[];
    /** What the policy uses, for the operator to grant: without it a policy that is no local file is refused. */
    capabilities?: Capabilities;
    /** Of standard policies only; elsewhere routes are the operator's: --route NAME=URL. */
    routes?: Record<string, { url: string }>;
  }

  /** What a policy uses beyond deciding. `gaia policy inspect` prints what to grant. */
  export interface Capabilities {
    /** Values and limiters of its own. */
    state?: boolean;
    limiters?: boolean;
    /** Values and limiters under "shared/". */
    sharedState?: boolean;
    sharedLimiters?: boolean;
    /** Environment variables by name. */
    env?: string[];
    /** Header fields that it reads or sets. */
    headers?: string[];
    /** Log lines a second, 1 to 1000. */
    logRate?: number;
  }

  /** All that a policy may export, for `export default { ... } satisfies Policy`. */
  export interface Policy {
    options?: Options;
    onRequest?: OnRequest;
    onRoute?: OnRoute;
    onResponse?: OnResponse;
    onDone?: OnDone;
    onTick?: OnTick;
  }

  /** Let the operation go, with the changes named. */
  export function allow(init?: Init): Decision;
  /** Refuse it. 429 unless told; 429 and 503 carry Retry-After, at least 1 s. */
  export function deny(status?: number, retryAfter?: Duration | { retryAfter?: Duration; reason?: string }): Decision;
  /** Let it go after a while. A wait beyond max_wait or the caller's deadline is a denial. */
  export function delay(time: Duration): Decision;
  /** Send it to a named upstream. */
  export function route(upstream: string, init?: Init): Decision;
  /** In onResponse: try again, at once or after a while, there or elsewhere. */
  export function retry(init?: { after?: Duration; upstream?: string; reason?: string }): Decision;

  /** What peek() sees. */
  export interface Level {
    readonly ok: boolean;
    /** Whole units left; undefined where that is not known. */
    readonly remaining: number | undefined;
    /** When it could pass, in milliseconds; undefined: never. */
    readonly retryAfter: number | undefined;
  }

  /** Units; for limiter.all() also a list, one for each of its limiters. */
  export type Cost = number | readonly number[];

  /**
   * A native limiter, the same in every guest and in every version of the policy that
   * declares its name. Without a key the request's counts, without a cost the request's.
   */
  export interface Limiter<Params = object> {
    /** Takes, and gives the decision to return: allow, a wait, or a denial with Retry-After. */
    admit(options?: { cost?: Cost; maxWait?: Duration }): Decision;
    admit(key: string | undefined, options?: { cost?: Cost; maxWait?: Duration }): Decision;
    /** Takes if it is there now, and says whether it was. */
    take(key?: string, cost?: Cost): boolean;
    /** Looks and takes nothing. */
    peek(key?: string, cost?: Cost): Level;
    /** Reads what the answer says about limits or, of a throttle and a budget, how it ended; in onResponse and onDone. */
    learn(res: Response, key?: string): void;
    /** Closes a key for a while; 0 opens it again. */
    pause(key: string | undefined, time: Duration): void;
    /** Puts the true cost in the place of what this attempt took. */
    settle(key: string | undefined, cost: Cost): void;
    /** Changes parameters; the counts stay. Another declaration takes them back. */
    set(params: Partial<Params>): void;
  }

  /** So many units (`rate`) in `per`, `burst` at once. */
  export interface TokenBucket {
    rate: number;
    /** "1s" by default. */
    per?: Duration;
    /** `rate` by default. */
    burst?: number;
    /** Which fields learn() reads: of the quota of "requests" (the default) or of "tokens". */
    unit?: "requests" | "tokens";
    /** The longest wait that admit() asks for; 0 by default: deny at once. */
    maxWait?: Duration;
    /** How many keys are counted, 100 000 by default. */
    maxKeys?: number;
  }

  /** So many units at once. With maxQueue or maxWait, admit() has those that find it full wait in line. */
  export interface Concurrency {
    max: number;
    /** How many may stand in a key's line: 1000 by default where there is a maxWait. */
    maxQueue?: number;
    /** The longest time in line: "1m" by default where there is a maxQueue. */
    maxWait?: Duration;
    /**
     * Who is next: the first that came (the default), or the most urgent by req.priority, and the first of equals.
     * By priority a full line sheds the newest of the least urgent for one that is more so.
     */
    order?: "fifo" | "priority";
    maxKeys?: number;
  }

  /** No rate of its own: what the upstream's answers say. */
  export interface UpstreamQuota {
    /** Which fields learn() reads: of the quota of "requests" (the default) or of "tokens". */
    unit?: "requests" | "tokens";
    maxWait?: Duration;
    maxKeys?: number;
  }

  /** So many units in each window. */
  export interface Window {
    max: number;
    /** "1s" by default. */
    per?: Duration;
    maxWait?: Duration;
    maxKeys?: number;
  }

  /** A Window that learn() may shrink. */
  export interface LearningWindow extends Window {
    unit?: "requests" | "tokens";
  }

  /** Units at once, as many as the answers bear: give them to learn(). */
  export interface Adaptive {
    /** "aimd" (the default): up by one a round, down by a tenth for a refusal; "gradient": down too as round trips grow. */
    algorithm?: "aimd" | "gradient";
    /** 1 by default. */
    min?: number;
    /** 1000 by default. */
    max?: number;
    maxKeys?: number;
  }

  /** Refuses the share of requests that the upstream would refuse: give answers to learn(). */
  export interface Throttle {
    /** Requests let through for each that is accepted; 2 by default. */
    ratio?: number;
    /** Below so many requests in `per` none is refused; 0 by default. */
    min?: number;
    /** "2m" by default. */
    per?: Duration;
    maxKeys?: number;
  }

  /** Retries as a share of the answers given to learn(): take() before each. */
  export interface RetryBudget {
    /** 0.2 by default. */
    ratio?: number;
    /** Retries a second that are always there; 0 by default. */
    min?: number;
    /** What is not used within that time is forgotten; "10s" by default. */
    per?: Duration;
    maxKeys?: number;
  }

  /** One rate, of which each key that asks has its share. */
  export interface Fair {
    rate: number;
    per?: Duration;
    burst?: number;
    /** By key; 1 for those not named. */
    weights?: Record<string, number>;
    maxWait?: Duration;
    maxKeys?: number;
  }

  /** A quota by the calendar, kept over restarts. */
  export interface Calendar {
    max: number;
    /** "day" by default. */
    every?: "hour" | "day" | "week" | "month";
    /** A time zone such as "Europe/Berlin"; "UTC" by default. */
    zone?: string;
    maxWait?: Duration;
    maxKeys?: number;
  }

  /** Declares limiters, at module scope. A name is the policy's own; "shared/NAME" is for all. */
  export const limiter: {
    tokenBucket(name: string, params: TokenBucket): Limiter<TokenBucket>;
    concurrency(name: string, params: Concurrency): Limiter<Concurrency>;
    upstream(name: string, params?: UpstreamQuota): Limiter<UpstreamQuota>;
    fixedWindow(name: string, params: LearningWindow): Limiter<LearningWindow>;
    slidingWindow(name: string, params: LearningWindow): Limiter<LearningWindow>;
    slidingLog(name: string, params: Window): Limiter<Window>;
    adaptive(name: string, params?: Adaptive): Limiter<Adaptive>;
    throttle(name: string, params?: Throttle): Limiter<Throttle>;
    retryBudget(name: string, params?: RetryBudget): Limiter<RetryBudget>;
    fair(name: string, params: Fair): Limiter<Fair>;
    calendar(name: string, params: Calendar): Limiter<Calendar>;
    /** Several as one: a take is of all of them or of none. At most 8. */
    all(...limiters: Limiter<any>[]): Omit<Limiter, "set">;
  };

  /** What state holds. */
  export type Value = number | string | boolean | Uint8Array;

  /**
   * Values that all guests share and that outlive a version of the policy. Each function
   * is atomic. A key is the policy's own; "shared/KEY" is for all. Module scope may read.
   */
  export const state: {
    get(key: string): Value | undefined;
    set(key: string, value: Value, options?: { ttl?: Duration }): void;
    /** Says whether it was there. */
    delete(key: string): boolean;
    /** Adds 1, or `by`, to a number, 0 where there is none, and gives the sum. */
    incr(key: string, by?: number, options?: { ttl?: Duration }): number;
    /** undefined as expected: there is none; as next: delete it. */
    compareAndSet(key: string, expected: Value | undefined, next: Value | undefined, options?: { ttl?: Duration }): boolean;
    /** Says whether it wrote. */
    setIfAbsent(key: string, value: Value, options?: { ttl?: Duration }): boolean;
  };

  /** A number of the policy's own that only grows; at module scope. */
  export function counter(name: string): { add(n?: number): void };
  /** A number of the policy's own; at module scope. */
  export function gauge(name: string): { set(value: number): void };
  /** The host's numbers of a subsystem now, such as requests_total; empty where there are none. */
  export function metrics(subsystem: Subsystem): Numbers;

  /** A stable hash, a whole number below 2^53. */
  export function hash(text: string): number;
  /** The entry that a key belongs to (rendezvous hashing): few keys move when the list changes. */
  export function pick<T extends string | { readonly name: string }>(key: string, list: readonly T[]): T | undefined;

  /** The operator's parameters. */
  export const params: Readonly<Record<string, any>>;
  /** The environment that the operator granted. */
  export const env: Readonly<Record<string, string>>;

  /** Structured, rate-limited log lines. Objects are written as JSON. */
  export interface Log {
    debug(...args: unknown[]): void;
    info(...args: unknown[]): void;
    log(...args: unknown[]): void;
    warn(...args: unknown[]): void;
    error(...args: unknown[]): void;
  }
  export const log: Log;
}

/** Tests of policies: NAME.test.js and NAME.test.ts files, run by `gaia policy test`. Time in them is virtual. */
declare module "gaia/test" {
  import type { Duration, Request, Response, Stats, Upstream } from "gaia";

  /** A case. All that fails in it is shown; it needs one expectation at least, and is synchronous. */
  export const test: {
    (name: string, run: () => void): void;
    /** A case that is named and does not run. */
    skip(name: string, run?: () => void): void;
  };

  /** A request; what is left out is a GET of "/" without a host. The key is the host unless told. */
  export type RequestInit = Partial<Omit<Request, "header" | "body" | "stats">> & {
    stats?: Partial<Stats>;
    headers?: Record<string, string>;
    /** JSON scalars that options.body would find. */
    body?: Record<string, string | number | boolean>;
  };
  /** An answer; what is left out is a 200. */
  export type ResponseInit = Partial<Omit<Response, "header" | "body" | "retryAfter" | "duration">> & {
    retryAfter?: Duration;
    duration?: Duration;
    headers?: Record<string, string>;
    body?: Record<string, string | number | boolean>;
  };

  /** One take, or one refusal. */
  export interface Taken {
    /** "POLICY/NAME" or "shared/NAME". */
    readonly name: string;
    readonly key: string;
    readonly cost: number;
    readonly ok: boolean;
    /** In milliseconds: the action must wait so long; refused: when to come back. */
    readonly wait: number;
    readonly limit: number;
    /** -1 where it is not known. */
    readonly remaining: number;
  }

  /** What a hook decided. */
  export interface Outcome {
    readonly action: "none" | "allow" | "deny" | "delay" | "route" | "retry";
    /** False for a denial. */
    readonly ok: boolean;
    /** False where options.match leaves the request out: the policy was not asked. */
    readonly asked: boolean;
    /** Milliseconds: the longest of what the decision says and what limiters took. */
    readonly wait: number;
    readonly status: number | undefined;
    readonly reason: string | undefined;
    /** In milliseconds. */
    readonly retryAfter: number | undefined;
    readonly key: string | undefined;
    readonly upstream: string | undefined;
    readonly timeout: number | undefined;
    readonly cost: number | undefined;
    readonly priority: number | undefined;
    readonly headers: Readonly<Record<string, string>> | undefined;
    readonly limit: { readonly name: string; readonly key: string; readonly limit: number; readonly remaining: number; readonly reset: number } | undefined;
    readonly ledger: readonly Taken[];
  }

  /**
   * A policy with limiters and state of its own. Hooks with an equal request belong to one attempt: what a denial took is
   * given back, and onDone releases what lasts as long as the attempt. A hook that fails throws.
   */
  export interface PolicyUnderTest {
    onRequest(req?: RequestInit): Outcome;
    onRoute(req?: RequestInit, upstreams?: readonly (string | (Partial<Upstream> & { name: string }))[]): Outcome;
    onResponse(req?: RequestInit, res?: ResponseInit): Outcome;
    onDone(req?: RequestInit, res?: ResponseInit): void;
    onTick(): void;
    /** The level of a limiter by the name it was declared with; times in milliseconds. Takes nothing. */
    level(limiter: string, key?: string, cost?: number): { readonly ok: boolean; readonly limit: number; readonly remaining: number; readonly retryAfter: number; readonly reset: number };
    /** What the state holds under a key; undefined where there is nothing. */
    state(key: string): any;
    /** A counter or gauge of the policy's own. */
    value(name: string): number | undefined;
  }

  export interface Setup {
    params?: Record<string, unknown>;
    /** The environment, all of it granted. */
    env?: Record<string, string>;
  }

  /** Opens a policy for this case: a file beside the test, "std/NAME", or the one of the test's own name. */
  export function policy(file: string, setup?: Setup): PolicyUnderTest;
  export function policy(setup?: Setup): PolicyUnderTest;

  /** How a call through all of gaia ended. `wait` is of all its waits, `status` of the denial or of the last answer. */
  export interface Ended extends Outcome {
    /** Of the last attempt: "timeout", "reset", ... */
    readonly error: string | undefined;
    /** Milliseconds from its beginning to its end. */
    readonly took: number;
    /** That were sent. */
    readonly attempts: number;
    /** Of the attempts, where the route has several. */
    readonly upstreams: readonly string[];
    /** What denied it: "policy", "limit", "queue", "breaker", "max_wait", "deadline". */
    readonly by: string | undefined;
    /** The policy that decided. */
    readonly policy: string | undefined;
    /** Of policies that failed: on_failure answered. */
    readonly faults: readonly string[];
  }

  /** All of gaia: policies, limits, waits and retries of a configuration, as production has them, in the time of the case. */
  export interface GaiaUnderTest {
    /**
     * Begins a call now. Its attempts get the answers in turn, the last one all after it (a 200 where there are none); `duration`
     * is the time to its headers.
     */
    send(req?: RequestInit & { route?: string }, answers?: ResponseInit | readonly ResponseInit[]): {
      /** Moves the clock until the call has ended. */
      end(): Ended;
      /** How it ended, undefined while it has not. */
      ended(): Ended | undefined;
    };
    /** The level of "POLICY/LIMITER" or "shared/LIMITER". */
    level(limiter: string, key?: string, cost?: number): ReturnType<PolicyUnderTest["level"]>;
    /** What the state of a policy holds under a key. */
    state(policy: string, key: string): any;
  }

  /** Makes a gaia for this case, of a file beside the test, of an object, or of gaia.yaml; without one, of the policy alone. */
  export function gaia(config?: string | Record<string, unknown>, setup?: Setup): GaiaUnderTest;

  /** Moves the clock of the case; onTick runs at every second it passes. Gives the new time. */
  export function advance(time: Duration): number;
  /** Milliseconds since 1970; a case begins on a Saturday at midnight. */
  export function now(): number;

  export interface Expectation {
    /** The same value. */
    toBe(want: unknown): void;
    /** Equal in all its parts. */
    toEqual(want: unknown): void;
    /** Has all that want names; a text contains it, or matches the pattern. */
    toMatch(want: unknown): void;
    toBeGreaterThan(n: number): void;
    toBeLessThan(n: number): void;
    /** Of a function: that it throws, with such a message. */
    toThrow(message?: string | RegExp): void;
    /** Of an outcome: it goes, at once. */
    toAllow(): void;
    /** It goes after a wait, or after this one. */
    toWait(time?: Duration): void;
    toDeny(status?: number): void;
    /** It goes to this upstream. */
    toRoute(upstream: string): void;
    toRetry(time?: Duration): void;
  }
  export function expect(got: unknown): Expectation & { readonly not: Expectation };
}

declare module "gaia/experiment" {
  import type { Adaptive, Calendar, Concurrency, Duration, Fair, LearningWindow, OnDone, OnRequest, OnResponse, OnRoute, OnTick, RetryBudget, Throttle, TokenBucket, UpstreamQuota, Window } from "gaia";

  /** Requests as they come, whatever happens to them. */
  export interface Arrivals { readonly kind: string }
  /** A distribution; a bare number is always that. Times are milliseconds. */
  export type Dist = number | { readonly kind: string };
  /** The requests a second, or per `timeUnit`. */
  interface Rate { rate: number; timeUnit?: Duration }

  export const arrivals: {
    constant(o: Rate): Arrivals;
    poisson(o: Rate): Arrivals;
    /** From `rate` to each `target` in its duration. */
    ramping(o: Rate & { stages: { target: number; duration: Duration }[] }): Arrivals;
    /** Between `rate` and `peak`, once in `period`. */
    diurnal(o: Rate & { peak: number; period: Duration }): Arrivals;
    /** `rate` while on; on and off last that long on average. */
    onOff(o: Rate & { on: Duration; off: Duration }): Arrivals;
    /** Gaps with a heavy tail. */
    pareto(o: Rate & { alpha: number }): Arrivals;
    /** From `rate` to `peak`, `at` that time, in `ramp`, for `hold`. */
    flash(o: Rate & { peak: number; at: Duration; ramp?: Duration; hold?: Duration }): Arrivals;
    /** `rate` batches, each of `size`. */
    batch(o: Rate & { size: Dist }): Arrivals;
  };

  export const dist: {
    constant(value: number): Dist;
    uniform(min: number, max: number): Dist;
    exponential(mean: number): Dist;
    lognormal(o: { p50: number; p99: number }): Dist;
    pareto(o: { min: number; alpha: number; max?: number }): Dist;
    choice(values: number[], weights?: number[]): Dist;
  };
  /** The same as dist. */
  export const latency: typeof dist;

  /** Names, or `n` of them whose popularity follows Zipf's law with the exponent `s`. */
  export interface Keys { names?: string[]; n?: number; s?: number; name?: string }
  export const keys: {
    zipf(n: number, s?: number, name?: string): Keys;
    uniform(n: number, name?: string): Keys;
    list(...names: string[]): Keys;
  };

  /** A limit of an upstream, of requests or of tokens. */
  export interface Limit { readonly kind: string }
  export const limit: {
    gcra(o: { quota: number; per?: Duration; burst?: number; tokens?: boolean }): Limit;
    fixedWindow(o: { quota: number; per?: Duration; tokens?: boolean }): Limit;
  };

  /** What callers do by themselves after a failure. */
  export interface Retry { readonly kind: string }
  interface Attempts {
    /** The first included; 4 by default. */
    attempts?: number;
    /** "100ms" by default. */
    base?: Duration;
    /** "10s" by default. */
    max?: Duration;
    /** Retries are at most this share of the requests. */
    budget?: number;
    /** Waits at least as long as Retry-After says. */
    honor?: boolean;
    /** Ends an attempt that takes longer; else the caller's patience does. */
    timeout?: Duration;
  }
  export const retry: {
    none(o?: { timeout?: Duration }): Retry;
    fixed(o?: Attempts): Retry;
    exponential(o?: Attempts & { jitter?: "none" | "full" }): Retry;
    decorrelated(o?: Attempts): Retry;
  };

  /** What every strategy may add. */
  export interface More {
    /** Unset: gaia's own retries with their budget; of none() no retries. */
    retry?: Retry;
    /** A strategy for each combination of these values of parameters. */
    sweep?: Record<string, readonly unknown[]>;
  }
  export interface MoreOfLimiter extends More {
    /** Counts on the tenant instead of the key. */
    by?: "tenant";
    /** Counts each request as one, whatever it costs. */
    count?: "requests";
  }
  export interface Strategy extends More { readonly kind: string }
  /** Hooks in the experiment itself, as a policy exports them. */
  export interface Inline { retry?: Retry; onRequest?: OnRequest; onRoute?: OnRoute; onResponse?: OnResponse; onDone?: OnDone; onTick?: OnTick }

  /** A policy file, counted from the experiment's folder, or "std/NAME": the very one of production. */
  export function policy(use: string, params?: Record<string, unknown>, more?: More): Strategy;

  /** Parameters that are swept need no value of their own. */
  type Some<P> = { [K in keyof P]?: P[K] };
  export const strategy: {
    /** No limit: what comes is sent. */
    none(more?: More): Strategy;
    /** Knows the upstreams' limits, capacity and latency. */
    oracle(more?: More): Strategy;
    limiter(name: string, params?: Record<string, unknown>, more?: MoreOfLimiter): Strategy;
    tokenBucket(params?: Some<TokenBucket>, more?: MoreOfLimiter): Strategy;
    concurrency(params?: Some<Concurrency>, more?: MoreOfLimiter): Strategy;
    upstream(params?: UpstreamQuota, more?: MoreOfLimiter): Strategy;
    fixedWindow(params?: Some<LearningWindow>, more?: MoreOfLimiter): Strategy;
    slidingWindow(params?: Some<LearningWindow>, more?: MoreOfLimiter): Strategy;
    slidingLog(params?: Some<Window>, more?: MoreOfLimiter): Strategy;
    adaptive(params?: Adaptive, more?: MoreOfLimiter): Strategy;
    throttle(params?: Throttle, more?: MoreOfLimiter): Strategy;
    retryBudget(params?: RetryBudget, more?: MoreOfLimiter): Strategy;
    fair(params?: Some<Fair>, more?: MoreOfLimiter): Strategy;
    calendar(params?: Some<Calendar>, more?: MoreOfLimiter): Strategy;
  };

  /** Recorded traffic: CSV, JSON lines, or an access log. */
  export interface Trace {
    file: string;
    format?: "csv" | "jsonl" | "access";
    /** Columns or fields by what they hold; those not named have the same name. */
    columns?: { time?: string; key?: string; cost?: string; service?: string; tenant?: string };
    /** Of a time that is a bare number. */
    unit?: "s" | "ms" | "us" | "ns";
    /** 2 is half as fast. */
    scale?: number;
    from?: string;
    to?: string;
  }

  /** One stream of requests, by exactly one of arrivals, users and trace. */
  export interface Scenario {
    arrivals?: Arrivals;
    /** Callers of a closed loop, each of whom thinks between its requests. */
    users?: number;
    think?: Dist;
    trace?: Trace;
    startTime?: Duration;
    duration?: Duration;
    keys?: Keys;
    /** Whose shares are compared, instead of keys: then there is one key. */
    tenants?: Keys;
    cost?: Dist;
    tenant?: string;
    priority?: number;
    method?: string;
    path?: string;
    /** How long a caller waits before it leaves; "30s" by default, 0 for ever. */
    patience?: Duration;
  }

  /** A modelled server. */
  export interface Upstream {
    /** Unset: as many as it takes. */
    servers?: number;
    /** Places before the servers; unset: no bound. */
    queue?: number;
    latency?: Dist;
    /** How long a refusal takes. */
    refusal?: Duration;
    weight?: number;
    /** Which fields tell of its limits. */
    headers?: "none" | "retry-after" | "ratelimit" | "x-ratelimit";
    steps?: { at: Duration; servers?: number; speed?: number }[];
    pauses?: { at: Duration; for: Duration }[];
    errors?: { at: Duration; for: Duration; share: number; status?: number }[];
    limits?: Limit[];
  }

  /** `export const options`: the experiment. */
  export interface Options {
    name?: string;
    seed?: number;
    duration: Duration;
    /** Not counted; a tenth of the duration by default. */
    warmup?: Duration;
    /** Seeds for each strategy; 5 by default. */
    replicas?: number;
    scenarios: Record<string, Scenario>;
    upstreams: Record<string, Upstream>;
    /** The first is what the others are compared with. */
    strategies: Record<string, Strategy | Inline>;
    /** By METRIC or METRIC{strategy:NAME}: "avg>240", "max<0.01". */
    thresholds?: Record<string, string[]>;
  }
}

/** The same as `log` of "gaia". */
declare const console: import("gaia").Log;
