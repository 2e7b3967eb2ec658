# What stands in for the images of nginx, Prometheus and Alertmanager, which registries have: Debian's packages.
ARG BASE
FROM ${BASE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nginx-light gettext-base prometheus prometheus-alertmanager curl wget
# As in those images: nginx's logs are its output, and where the two keep their data belongs to them.
RUN ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log \
    && mkdir -p /prometheus /alertmanager && chown 65534:65534 /prometheus /alertmanager
COPY parts-start /usr/local/bin/
