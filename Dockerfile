# The gateway's service: Node.js runs the TypeScript sources as they are, so there is nothing to compile. Envoy is not
# in here; it is the official image beside it (docker-compose.yml).
ARG NODE_IMAGE=node:26-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The optional dependencies are the Node.js binaries for machines without one; the image has its own.
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund

FROM ${NODE_IMAGE}
ENV NODE_ENV=production
WORKDIR /app
# /data and /run/gateway belong to the user before a volume covers them: a new named volume takes over owner and mode.
RUN install -d -o 1000 -g 1000 -m 700 /data /run/gateway \
  && for command in keys usage; do \
       printf '#!/bin/sh\nexec node /app/src/main.js %s "$@"\n' "$command" > "/usr/local/bin/$command"; \
     done \
  && printf '#!/bin/sh\nexec node /app/src/main.js "$@"\n' > /usr/local/bin/gateway \
  && chmod 755 /usr/local/bin/keys /usr/local/bin/usage /usr/local/bin/gateway
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY protos ./protos
COPY envoy ./envoy
COPY src ./src
# By number, so that Kubernetes' runAsNonRoot can check it; 1000 is the image's user `node`.
USER 1000:1000
VOLUME ["/data"]
# The slim image has no curl. 8001 is the admin port, open on the container's own loopback only.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8001/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Node.js is process 1: it handles SIGTERM itself (drain, then exit) and starts no children that would need reaping.
# The flags keep it below 200 MB: a young generation of 8 MB, an old one that at most doubles between collections.
ENTRYPOINT ["node", "--max-semi-space-size=8", "--heap-growing-percent=100", "/app/src/main.js"]
CMD ["serve"]
