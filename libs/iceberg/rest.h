/* rest.h: the read part of the Iceberg REST catalog (open-api/rest-catalog-open-api.yaml of Apache Iceberg), without HTTP:
 * a request as fields to a status and JSON.
 *
 *   GET        v1/config                                             ?warehouse=
 *   GET        v1/{region}/namespaces                                ?parent=
 *   GET, HEAD  v1/{region}/namespaces/{tenant}
 *   GET        v1/{region}/namespaces/{tenant}/tables
 *   GET, HEAD  v1/{region}/namespaces/{tenant}/tables/{table}        ?snapshots=refs|all, If-None-Match
 *   POST       v1/{region}/namespaces/{tenant}/tables/{table}/metrics   taken and dropped: some clients report always
 *   GET        v1/{region}/namespaces/{tenant}/views
 *   GET, HEAD  v1/{region}/namespaces/{tenant}/views/{view}          X-Iceberg-Catalog
 *
 * The region is the warehouse and the prefix. A tenant sees one namespace, its own; every other is not there (404), whether
 * it exists or not. Everything that would write is refused with 406: tables are the compactor's.
 * Who has a table of samples has a view of it (view.h).
 *
 * Threads: any; reading a table's metadata waits for the store, so not on a thread that must not.
 * Memory:  `memory_bytes_max` bounds what a request keeps; beside it stand the table's metadata as JSON, once as text and once as
 *          values (metadata.h has the bounds), and the answer.
 */
#ifndef MRD_ICEBERG_REST_H
#define MRD_ICEBERG_REST_H

#include "iceberg/commit.h"

/* A table as the catalog of blocks has it at a moment. */
struct mrd_iceberg_place {
    struct mrd_iceberg_table table;
    const char *metadata_key;
    const struct mrd_iceberg_property
        *config; /* for the reader's file access: "s3.endpoint", "s3.region", ... */
    size_t config_count;
};

/* Where tables are looked up: what the catalog of blocks implements. Results lie in the arena, or outlive the request. */
struct mrd_iceberg_source {
    void *context;

    /* The names of the tenant's tables, sorted; none if it has no blocks. */
    enum mrd_status (*list)(void *context, struct mrd_bytes tenant,
                            const struct mrd_objstore_control *control, struct mrd_arena *arena,
                            const char *const **out_names, size_t *out_count,
                            struct mrd_error *err);

    /* MRD_E_NOT_FOUND if the tenant has no such table. */
    enum mrd_status (*find)(void *context, struct mrd_bytes tenant, struct mrd_bytes name,
                            const struct mrd_objstore_control *control, struct mrd_arena *arena,
                            struct mrd_iceberg_place *out, struct mrd_error *err);
};

struct mrd_iceberg_rest {
    const char *region; /* id: letters, digits, '-', '_' */
    const struct mrd_iceberg_source
        *source; /* NULL: no block storage is configured, which every answer says (501) */
    size_t memory_bytes_max;
};

enum mrd_iceberg_rest_method {
    MRD_ICEBERG_REST_GET,
    MRD_ICEBERG_REST_HEAD,
    MRD_ICEBERG_REST_POST,
    MRD_ICEBERG_REST_OTHER
};

/* Empty bytes: not there. */
struct mrd_iceberg_rest_request {
    enum mrd_iceberg_rest_method method;
    struct mrd_bytes path;   /* from "v1" on, percent-encoded */
    struct mrd_bytes tenant; /* who asks */
    struct mrd_bytes warehouse, parent, snapshots;
    struct mrd_bytes if_none_match;
    struct mrd_bytes catalog; /* what the client's engine calls the catalog: for views */
    const struct mrd_objstore_control *control; /* when to give up */
};

enum { MRD_ICEBERG_ETAG_SIZE = 128 };

struct mrd_iceberg_rest_reply {
    unsigned status;
    struct mrd_buf body;              /* JSON, or empty; the caller's to free */
    char etag[MRD_ICEBERG_ETAG_SIZE]; /* with its quotes; empty: none */
};

/* Always fills *out, whose body is empty before: errors are answers, in the specification's form. */
void mrd_iceberg_rest_answer(const struct mrd_iceberg_rest *rest,
                             const struct mrd_iceberg_rest_request *request,
                             struct mrd_iceberg_rest_reply *out);

/* An error in that form, for what fails before: {"error":{"message":...,"type":...,"code":...}}. */
void mrd_iceberg_rest_error(unsigned status, const char *type, const char *message,
                            struct mrd_iceberg_rest_reply *out);

#endif
