/* tool_store.h: the store that the tools of these tests work on: a folder, or tests/objstore/s3_server.py at an endpoint. */
#ifndef TESTS_ICEBERG_TOOL_STORE_H
#define TESTS_ICEBERG_TOOL_STORE_H

#include <stdio.h>

#include "iceberg/definition.h"
#include "objstore/file_store.h"
#include "objstore/s3_store.h"

enum { TOOL_ROOT_SIZE = 4096 };

/* `where` is a folder or "http://HOST:PORT"; the URI of the root goes to `root`, what readers of the files need to *config. */
static inline enum mrd_status tool_store_open(const char *where, char root[TOOL_ROOT_SIZE],
                                              struct mrd_iceberg_property config[3],
                                              size_t *config_count, struct mrd_objstore **out,
                                              struct mrd_error *err)
{
    config[0] = (struct mrd_iceberg_property){"meridian.test", "yes"};
    *config_count = 1;
    if (strncmp(where, "http://", strlen("http://")) != 0) {
        (void)snprintf(root, TOOL_ROOT_SIZE, "file://%s", where);
        return mrd_file_store_open(where, NULL, out, err);
    }
    config[1] = (struct mrd_iceberg_property){"s3.endpoint", where};
    config[2] = (struct mrd_iceberg_property){"s3.region", "test-1"};
    *config_count = 3;
    (void)snprintf(root, TOOL_ROOT_SIZE, "s3://bucket-1");
    const struct mrd_s3_options options = {
        .endpoint = where,
        .region = "test-1",
        .bucket = "bucket-1",
        .path_style = true,
        .credentials = {.access_key = "test-access", .secret_key = "test-secret/+="},
    };
    return mrd_s3_store_open(&options, out, err);
}

#endif
