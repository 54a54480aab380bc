#!/bin/sh
# Proves the deployment of docker-compose.yml: an engine (started for the proof when none answers), the base images
# (stand-ins when no registry answers), then proof.ts. Minutes on a first run, about two on the next ones.
#
# Ends with 0 when all holds. Where no engine can run it says why and fails, or with SKIP_OK=1 ends with 0.
# KEEP=1 leaves everything running to look at.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
export COMPOSE_PROOF_CACHE=${COMPOSE_PROOF_CACHE:-/var/tmp/bedrock-gateway-compose}

status=0
"$HERE/engine.sh" start || status=$?
if [ "$status" = 3 ]; then
  echo "skipped: $(cat "$COMPOSE_PROOF_CACHE/engine.reason")"
  [ "${SKIP_OK:-}" = 1 ] && exit 0
  exit 1
fi
[ "$status" = 0 ] || exit "$status"
[ "${KEEP:-}" = 1 ] || trap '"$HERE/engine.sh" stop' EXIT
. "$COMPOSE_PROOF_CACHE/engine.env"
# Only an engine of its own may the proof restart.
if grep -q DOCKER_HOST "$COMPOSE_PROOF_CACHE/engine.env"; then export ENGINE_RESTART=1; fi

node_image=$(sed -n 's/^ARG NODE_IMAGE=//p' "$ROOT/Dockerfile")
envoy_image=$(sed -n 's/.*image: ${ENVOY_IMAGE:-\(.*\)}$/\1/p' "$ROOT/docker-compose.yml")
"$HERE/images.sh" "$node_image" "$envoy_image"
cd "$ROOT"
PATH="$ROOT/node_modules/.bin:$PATH" node test/compose/proof.ts "$envoy_image"
