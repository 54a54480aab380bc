#!/bin/sh
# Gives the proof a Docker engine with Compose 2. An engine that answers is used as it is. Otherwise, and only as root
# with dockerd installed (Debian: apt-get install docker.io), one is started by hand with its own socket, data and
# process id under the cache folder, so that `stop` ends that one and no other. A Compose that is missing is built from
# the Go module proxy.
#
# Usage: engine.sh start   writes $CACHE/engine.env (DOCKER_HOST, DOCKER_CONFIG), to be sourced; ends 3 when no engine can run
#        engine.sh stop    stops what start has started
set -eu

COMPOSE_VERSION=v2.40.3
CACHE=${COMPOSE_PROOF_CACHE:-/var/tmp/bedrock-gateway-compose}
ENGINE=$CACHE/engine
mkdir -p "$ENGINE"

say() { echo "engine: $*"; }
refuse() {
  say "$*"
  echo "$*" >"$CACHE/engine.reason"
  exit 3
}
# A process id may have been given to somebody else since: only a dockerd counts.
running() { [ -f "$ENGINE/docker.pid" ] && [ "$(cat "/proc/$(cat "$ENGINE/docker.pid")/comm" 2>/dev/null)" = dockerd ]; }

start_engine() {
  : >"$CACHE/engine.env"
  # Inherited from an earlier start, it would look like an installed Compose.
  [ "${DOCKER_CONFIG:-}" != "$CACHE/docker-config" ] || unset DOCKER_CONFIG
  if ! running && docker info >/dev/null 2>&1; then
    say "using the engine that is here: $(docker version --format '{{.Server.Version}}')"
    return
  fi
  command -v docker >/dev/null || refuse "no docker command"
  command -v dockerd >/dev/null || refuse "no Docker engine answers, and there is no dockerd to start"
  [ "$(id -u)" = 0 ] || refuse "no Docker engine answers, and only root can start one"
  export DOCKER_HOST="unix://$ENGINE/docker.sock"
  echo "export DOCKER_HOST=$DOCKER_HOST" >>"$CACHE/engine.env"
  if ! running; then
    rm -f "$ENGINE/docker.pid"
    setsid dockerd --host "$DOCKER_HOST" --data-root "$ENGINE/data" --exec-root "$ENGINE/exec" \
      --pidfile "$ENGINE/docker.pid" >"$ENGINE/dockerd.log" 2>&1 </dev/null &
  fi
  tries=60
  until docker info >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || refuse "dockerd does not start: $(grep -v level=info "$ENGINE/dockerd.log" | tail -1)"
    sleep 0.5
  done
  say "started dockerd $(docker version --format '{{.Server.Version}}'), process $(cat "$ENGINE/docker.pid")"
}

provide_compose() {
  if docker compose version >/dev/null 2>&1; then
    say "$(docker compose version)"
    return
  fi
  plugin=$CACHE/docker-config/cli-plugins/docker-compose
  if [ ! -x "$plugin" ]; then
    command -v go >/dev/null || refuse "Docker Compose 2 is missing, and so is Go to build it"
    say "building Docker Compose $COMPOSE_VERSION, some minutes"
    mkdir -p "$(dirname "$plugin")"
    go mod download "github.com/docker/compose/v2@$COMPOSE_VERSION"
    cd "$(go env GOMODCACHE)/github.com/docker/compose/v2@$COMPOSE_VERSION"
    go build -mod=readonly -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$COMPOSE_VERSION" \
      -o "$plugin" ./cmd
  fi
  export DOCKER_CONFIG="$CACHE/docker-config"
  echo "export DOCKER_CONFIG=$DOCKER_CONFIG" >>"$CACHE/engine.env"
  say "$(docker compose version)"
}

stop_engine() {
  running || return 0
  pid=$(cat "$ENGINE/docker.pid")
  kill "$pid"
  tries=120
  while [ -d "/proc/$pid" ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { say "dockerd $pid does not end"; exit 1; }
    sleep 0.5
  done
  say "stopped dockerd $pid"
}

case "${1:-}" in
  start) start_engine && provide_compose ;;
  stop) stop_engine ;;
  *) echo "usage: engine.sh start|stop" >&2; exit 2 ;;
esac
