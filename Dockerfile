# A small image: the conflow binary on Debian. Build and run it:
#
#   docker build -t conflow .
#   docker run --rm -v conflow-data:/data conflow account add MA00000000000000000A
#   docker run -d -v conflow-data:/data -v "$PWD/flows:/flows:ro" -p 8080:8080 conflow
#
# Configure it with CONFLOW_… variables (conflow serve --help), or mount a file as
# /etc/conflow/conflow.toml (conflow.example.toml). For real phones, set CONFLOW_SIP=0.0.0.0:5060 and
# use --network host, because the audio of each call has its own UDP ports. Kubernetes or a load
# balancer asks /readyz whether conflow takes calls; the health check below asks /healthz whether it
# is alive.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin conflow && strip target/release/conflow

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin conflow \
 && mkdir -p /data /flows /etc/conflow \
 && echo '# Empty: all defaults. See conflow.example.toml.' >/etc/conflow/conflow.toml \
 && chown conflow /data
COPY --from=build /src/target/release/conflow /usr/local/bin/conflow
ENV CONFLOW_CONFIG=/etc/conflow/conflow.toml \
    CONFLOW_DATA=/data \
    CONFLOW_FLOWS=/flows \
    CONFLOW_HTTP=0.0.0.0:8080 \
    CONFLOW_LOG_FORMAT=json
USER conflow
VOLUME /data
EXPOSE 8080/tcp
# The image has no curl, so the check uses bash.
HEALTHCHECK --interval=10s --timeout=3s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["conflow"]
CMD ["serve"]
