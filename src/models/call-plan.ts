/**
 * Which attempts a call may make, and in what order.
 *
 * The first one is the resolved target. When it fails before anything has gone to the client, the failure decides: a
 * field that the model refuses is left out, a model that needs an inference profile gets it, and what may work elsewhere
 * is tried at the next of the operator's fallbacks. Envoy's own retries have come before.
 */
import { isDeepStrictEqual } from "node:util";
import { LRUCache } from "lru-cache";
import type { ConverseRequest } from "../bedrock/converse.ts";
import { faultOf } from "../bedrock/errors.ts";
import type { Intent } from "../bedrock/intent.ts";
import type { ErrorCode, GatewayError } from "../errors.ts";
import { type Adapted, adapt } from "./adapt.ts";
import { type AutoCache, withAutoCache } from "./auto-cache.ts";
import { type Capabilities, type CapabilityOverride, capabilitiesOf } from "./capabilities.ts";
import { applyLessons, type Lesson, type Lessons, lessonFrom } from "./lessons.ts";
import type { Target, Targets } from "./targets.ts";

export interface Attempt {
  readonly target: Target;
  readonly adapted: Adapted;
  /** What the model has refused before, for what is added to the request later. */
  readonly lessons: readonly Lesson[];
  /** At one of the operator's fallbacks: what fails there says nothing about the model that the client asked for. */
  readonly fallback: boolean;
}

export interface CallPlan {
  readonly first: Attempt;
  /** Undefined when there is nothing left that could help. */
  next(error: GatewayError): Promise<Attempt | undefined>;
}

export interface PlannedCall {
  readonly targets: readonly Target[];
  readonly request: ConverseRequest;
  readonly intent: Intent;
  readonly stream: boolean;
}

export interface PlannerOptions {
  readonly targets: Targets;
  readonly lessons: Lessons;
  readonly overrides: readonly CapabilityOverride[];
  readonly autoCache: AutoCache | undefined;
}

export interface Planner {
  /** Throws GatewayError when the first target can't do what was asked. */
  plan(call: PlannedCall): CallPlan;
}

const MAX_ATTEMPTS = 4;
const MAX_MODELS = 1_000;

/** Failures that say nothing about the request: another region or model may do better. */
const WORTH_A_FALLBACK: ReadonlySet<ErrorCode> = new Set([
  "rate_limit_exceeded",
  "insufficient_quota",
  "model_not_ready",
  "model_timeout",
  "model_not_found",
  "model_not_supported",
  "model_access_required",
  "access_denied",
  "inference_profile_required",
  "upstream_unavailable",
  "upstream_error",
]);

export function createPlanner({ targets, lessons, overrides, autoCache }: PlannerOptions): Planner {
  /** The table's rows with the operator's corrections, put together once for each model. */
  const known = new LRUCache<string, Capabilities>({ max: MAX_MODELS });

  function knownOf(model: string): Capabilities {
    const before = known.get(model);
    if (before !== undefined) return before;
    const capabilities = capabilitiesOf(model, overrides);
    known.set(model, capabilities);
    return capabilities;
  }

  return {
    plan(call) {
      const [primary, ...fallbacks] = call.targets;
      if (primary === undefined) throw new Error("a call without a target");
      const ownLessons: Lesson[] = [];
      let current: Attempt = attemptAt(primary, false);
      let attempts = 1;

      function attemptAt(target: Target, fallback = current.fallback): Attempt {
        const model = target.foundationModel ?? target.modelId;
        const learned = [...lessons.of(model), ...ownLessons];
        const capabilities = learned.length === 0 ? knownOf(model) : applyLessons(knownOf(model), learned);
        const { intent, stream } = call;
        const wanted = withAutoCache(call.request, capabilities.cacheSections.length > 0 ? autoCache : undefined);
        const adapted = adapt({ request: wanted, intent, capabilities, stream, model });
        return { target, adapted, lessons: learned, fallback };
      }

      /** Undefined where the target can't do what was asked: the failure before is the one that the client hears of. */
      function tryAt(target: Target, fallback?: boolean): Attempt | undefined {
        try {
          return attemptAt(target, fallback);
        } catch {
          return undefined;
        }
      }

      /** Also when another call has been taught the same since this one went out. */
      function afterLesson(error: GatewayError): Attempt | undefined {
        const { target } = current;
        const lesson = lessonFrom(faultOf(error)?.message ?? "", Object.keys(call.intent.modelFields ?? {}));
        if (lesson === undefined) return undefined;
        if (lesson.passing) ownLessons.push(lesson);
        else lessons.learn(target.foundationModel ?? target.modelId, lesson);
        const attempt = tryAt(target);
        return attempt === undefined || isSameRequest(attempt, current) ? undefined : attempt;
      }

      async function atProfile(): Promise<Attempt | undefined> {
        const profile = await targets.profileOf(current.target).catch(() => undefined);
        return profile === undefined ? undefined : tryAt(profile);
      }

      function atFallback(): Attempt | undefined {
        for (let target = fallbacks.shift(); target !== undefined; target = fallbacks.shift()) {
          const attempt = tryAt(target, true);
          if (attempt !== undefined) return attempt;
        }
        return undefined;
      }

      async function following(error: GatewayError): Promise<Attempt | undefined> {
        const mended =
          afterLesson(error) ?? (error.code === "inference_profile_required" ? await atProfile() : undefined);
        return mended ?? (WORTH_A_FALLBACK.has(error.code) ? atFallback() : undefined);
      }

      return {
        first: current,
        async next(error) {
          if (attempts >= MAX_ATTEMPTS) return undefined;
          const attempt = await following(error);
          if (attempt === undefined) return undefined;
          attempts += 1;
          current = attempt;
          return attempt;
        },
      };
    },
  };
}

/** The same request would get the same answer. */
function isSameRequest(a: Attempt, b: Attempt): boolean {
  return (
    a.adapted.stream === b.adapted.stream &&
    isDeepStrictEqual(a.adapted.request, b.adapted.request) &&
    isDeepStrictEqual(partsLeftOut(a), partsLeftOut(b))
  );
}

function partsLeftOut({ lessons }: Attempt): string[] {
  return lessons.flatMap(({ without }) => without ?? []);
}
