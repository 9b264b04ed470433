# One image with all services and mrdctl; what runs is chosen by the command. Debian 12, as everywhere in this project.
FROM debian:12-slim AS build
WORKDIR /src
COPY scripts/packages.txt scripts/
RUN apt-get update && \
    apt-get install -y --no-install-recommends $(awk '$1 == "build" { print $2 }' scripts/packages.txt)
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY libs libs
COPY services services
COPY tools tools
COPY tests tests
RUN cmake --preset release && cmake --build build/release && \
    DESTDIR=/image cmake --install build/release --prefix /usr --strip

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates libcurl4 libexpat1 libjansson4 libssl3 libmicrohttpd12 libnats3.4 libprotobuf-c1 libre2-9 libsnappy1v5 \
        libxxhash0 libyaml-0-2 libzstd1 zlib1g && \
    rm -rf /var/lib/apt/lists/* && useradd --system --no-create-home meridian && \
    install -d -o meridian /var/lib/meridian/objects
COPY --from=build /image/usr/ /usr/
USER meridian
