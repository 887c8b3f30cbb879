# A small image that runs the proxy as an ordinary user. The embedded servers are not in it: they are for development.
#   docker build -t pointsman .
#   docker run -p 6432:6432 -v ./pointsman.yaml:/etc/pointsman/pointsman.yaml:ro pointsman
FROM node:20-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npx tsc -p tsconfig.build.json --incremental false --declaration false --declarationMap false --isolatedDeclarations false --sourceMap false

FROM node:20-bookworm-slim AS packages
WORKDIR /build
COPY package.json package-lock.json ./
# Neither pg nor the embedded servers: both are peers that the proxy does not need.
RUN npm ci --no-audit --no-fund --ignore-scripts --omit=dev --omit=peer --omit=optional

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /opt/pointsman
COPY --from=packages /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json LICENSE ./
COPY config ./config
RUN ln -s /opt/pointsman/dist/bin.js /usr/local/bin/pointsman && chmod 755 /opt/pointsman/dist/bin.js
USER node
EXPOSE 6432 6480
STOPSIGNAL SIGTERM
# Node is process 1 and gets the signals itself; no shell in between.
ENTRYPOINT ["node", "/opt/pointsman/dist/bin.js"]
CMD ["serve", "-c", "/etc/pointsman/pointsman.yaml"]
