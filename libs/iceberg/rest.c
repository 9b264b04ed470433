#include "iceberg/rest.h"

#include <stdio.h>

#include "http/form.h"
#include "iceberg/json_internal.h"
#include "iceberg/view.h"

enum { SEGMENTS_MAX = 8, PATH_SIZE_MAX = 2048, CATALOG_SIZE_MAX = 256 };

/* One request under way. Functions that answer return false once they have answered with an error. */
struct rest_call {
    const struct mrd_iceberg_rest *rest;
    const struct mrd_iceberg_rest_request *request;
    struct mrd_iceberg_rest_reply *out;
    struct mrd_arena *arena;
    uint8_t decoded[PATH_SIZE_MAX];
    struct mrd_bytes segments[SEGMENTS_MAX]; /* decoded */
    size_t segment_count;
};

/* ---- answers ---- */

static struct ice_json_writer answer_begin(struct mrd_iceberg_rest_reply *out, unsigned status)
{
    struct ice_json_writer json = {.out = &out->body};
    out->status = status;
    mrd_buf_clear(&out->body);
    ice_put_open(&json, NULL, '{');
    return json;
}

/* Texts that are no UTF-8 cannot be in an answer: those of our own fault come to 500. */
static void answer_end(struct mrd_iceberg_rest_reply *out, struct ice_json_writer *json)
{
    struct mrd_error err;
    ice_put_close(json, '}');
    if (ice_put_end(json, &err) != MRD_OK) {
        mrd_buf_clear(&out->body);
        out->status = 500;
        mrd_buf_append_text(&out->body, "{\"error\":{\"message\":\"the answer cannot be written\","
                                        "\"type\":\"InternalServerError\",\"code\":500}}");
    }
}

void mrd_iceberg_rest_error(unsigned status, const char *type, const char *message,
                            struct mrd_iceberg_rest_reply *out)
{
    const bool good = mrd_bytes_utf8_valid(mrd_bytes_of(message));
    struct ice_json_writer json = answer_begin(out, status);
    ice_put_open(&json, "error", '{');
    ice_put_text(&json, "message", good ? message : "the request names something that is no UTF-8");
    ice_put_text(&json, "type", type);
    ice_put_int(&json, "code", status);
    ice_put_close(&json, '}');
    answer_end(out, &json);
}

static void fail(struct rest_call *call, enum mrd_status status, const struct mrd_error *err)
{
    switch (status) {
    case MRD_E_INVALID:
        mrd_iceberg_rest_error(400, "BadRequestException", err->text, call->out);
        return;
    case MRD_E_NOT_FOUND:
        mrd_iceberg_rest_error(404, "NoSuchTableException", err->text, call->out);
        return;
    case MRD_E_UNAVAILABLE:
    case MRD_E_TIMEOUT:
    case MRD_E_CANCELED:
        mrd_iceberg_rest_error(503, "ServiceUnavailableException", err->text, call->out);
        return;
    case MRD_OK:
    case MRD_E_LIMIT:
    case MRD_E_CORRUPT:
    case MRD_E_CONFLICT:
    case MRD_E_UNSUPPORTED:
    case MRD_E_DENIED:
    case MRD_E_FATAL:
    case MRD_STATUS_COUNT:
        break;
    }
    mrd_iceberg_rest_error(500, "InternalServerError", err->text, call->out);
}

static void not_found(struct rest_call *call, const char *type, const char *what,
                      struct mrd_bytes name)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "%s \"%.*s\" does not exist", what,
                   (int)MRD_MIN(name.size, (size_t)160), (const char *)name.data);
    mrd_iceberg_rest_error(404, type, text, call->out);
}

/* ---- config and namespaces ---- */

static void answer_config(struct rest_call *call)
{
    static const char *const endpoints[] = {
        "GET /v1/{prefix}/namespaces",
        "GET /v1/{prefix}/namespaces/{namespace}",
        "HEAD /v1/{prefix}/namespaces/{namespace}",
        "GET /v1/{prefix}/namespaces/{namespace}/tables",
        "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
        "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
        "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics",
        "GET /v1/{prefix}/namespaces/{namespace}/views",
        "GET /v1/{prefix}/namespaces/{namespace}/views/{view}",
        "HEAD /v1/{prefix}/namespaces/{namespace}/views/{view}",
    };
    const struct mrd_bytes warehouse = call->request->warehouse;
    const struct mrd_bytes region = mrd_bytes_of(call->rest->region);
    if (warehouse.size > 0 && !mrd_bytes_equal(warehouse, region)) {
        not_found(call, "NoSuchWarehouseException", "warehouse", warehouse);
        return;
    }
    struct ice_json_writer json = answer_begin(call->out, 200);
    ice_put_texts(&json, "defaults", NULL, 0);
    ice_put_open(&json, "overrides", '{');
    ice_put_text(&json, "prefix", call->rest->region);
    ice_put_close(&json, '}');
    ice_put_open(&json, "endpoints", '[');
    for (size_t i = 0; i < MRD_ARRAY_LEN(endpoints); i++) {
        ice_put_text(&json, NULL, endpoints[i]);
    }
    ice_put_close(&json, ']');
    answer_end(call->out, &json);
}

static void put_namespace(struct ice_json_writer *json, const char *key, struct mrd_bytes tenant)
{
    ice_put_open(json, key, '[');
    ice_put_bytes(json, NULL, tenant);
    ice_put_close(json, ']');
}

static void answer_namespaces(struct rest_call *call)
{
    const struct mrd_bytes parent = call->request->parent;
    if (parent.size > 0 && !mrd_bytes_equal(parent, call->request->tenant)) {
        not_found(call, "NoSuchNamespaceException", "namespace", parent);
        return;
    }
    struct ice_json_writer json = answer_begin(call->out, 200);
    ice_put_open(&json, "namespaces", '[');
    if (parent.size == 0) {
        put_namespace(&json, NULL, call->request->tenant);
    }
    ice_put_close(&json, ']');
    answer_end(call->out, &json);
}

static void answer_namespace(struct rest_call *call)
{
    struct ice_json_writer json = answer_begin(call->out, 200);
    put_namespace(&json, "namespace", call->request->tenant);
    ice_put_texts(&json, "properties", NULL, 0);
    answer_end(call->out, &json);
}

/* ---- tables ---- */

static void answer_identifiers(struct rest_call *call, const char *const *names, size_t count)
{
    struct ice_json_writer json = answer_begin(call->out, 200);
    ice_put_open(&json, "identifiers", '[');
    for (size_t i = 0; i < count; i++) {
        ice_put_open(&json, NULL, '{');
        put_namespace(&json, "namespace", call->request->tenant);
        ice_put_text(&json, "name", names[i]);
        ice_put_close(&json, '}');
    }
    ice_put_close(&json, ']');
    answer_end(call->out, &json);
}

static void answer_tables(struct rest_call *call)
{
    const struct mrd_iceberg_source *source = call->rest->source;
    const char *const *names;
    size_t count;
    struct mrd_error err;
    const enum mrd_status status =
        source->list(source->context, call->request->tenant, call->request->control, call->arena,
                     &names, &count, &err);
    if (status != MRD_OK) {
        fail(call, status, &err);
        return;
    }
    answer_identifiers(call, names, count);
}

static bool find_table(struct rest_call *call, struct mrd_bytes name, struct mrd_iceberg_place *out)
{
    const struct mrd_iceberg_source *source = call->rest->source;
    struct mrd_error err;
    const enum mrd_status status = source->find(source->context, call->request->tenant, name,
                                                call->request->control, call->arena, out, &err);
    if (status == MRD_E_NOT_FOUND) {
        not_found(call, "NoSuchTableException", "table", name);
    } else if (status != MRD_OK) {
        fail(call, status, &err);
    }
    return status == MRD_OK;
}

/* Of a version that never changes under its key: the key's name, and how much of it is shown. */
static void make_etag(const struct mrd_iceberg_place *place, bool refs, char out[])
{
    const char *name = strrchr(place->metadata_key, '/');
    name = name == NULL ? place->metadata_key : name + 1;
    (void)snprintf(out, MRD_ICEBERG_ETAG_SIZE, "\"%.*s%s\"",
                   (int)MRD_MIN(strcspn(name, "."), (size_t)100), name, refs ? "-refs" : "");
}

/* A list of tags, or "*". Weak ones are as good: the body is the same bytes. */
static bool etag_matches(struct mrd_bytes header, const char *etag)
{
    return mrd_bytes_equal(mrd_bytes_trim(header), MRD_BYTES("*")) ||
           memmem(header.data, header.size, etag, strlen(etag)) != NULL;
}

/* With `snapshots=refs` only what `main` shows; readers ask again for time travel. */
static void keep_current(struct mrd_iceberg_metadata *metadata)
{
    const struct mrd_iceberg_snapshot *current =
        mrd_iceberg_snapshot_find(metadata, metadata->snapshot_id);
    metadata->snapshots = current;
    metadata->snapshot_count = current == NULL ? 0 : 1;
    if (metadata->snapshot_log_count > 0) { /* whose last entry is the current one's */
        metadata->snapshot_log += metadata->snapshot_log_count - 1;
        metadata->snapshot_log_count = 1;
    }
}

/* False: it cannot be read, and the answer says so. */
static bool load_table(struct rest_call *call, struct mrd_iceberg_place *place,
                       struct mrd_iceberg_metadata **out)
{
    struct mrd_error err;
    place->table.control = call->request->control;
    const enum mrd_status status =
        mrd_iceberg_load(&place->table, place->metadata_key, call->arena, out, &err);
    if (status != MRD_OK) {
        call->out->etag[0] = '\0';
        /* The catalog names it, so that it is missing is no answer to the reader's question. */
        fail(call, status == MRD_E_NOT_FOUND ? MRD_E_CORRUPT : status, &err);
    }
    return status == MRD_OK;
}

static void put_location(struct ice_json_writer *json, const struct mrd_iceberg_place *place)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf uri = {0};
    mrd_buf_printf(&uri, "%s/%s", place->table.root, place->metadata_key);
    ice_put_bytes(json, "metadata-location", mrd_buf_view(&uri));
}

static void answer_table(struct rest_call *call, struct mrd_bytes name)
{
    struct mrd_iceberg_place place;
    struct mrd_iceberg_metadata *metadata;
    const struct mrd_bytes snapshots = call->request->snapshots;
    const bool refs = mrd_bytes_equal(snapshots, MRD_BYTES("refs"));
    if (snapshots.size > 0 && !refs && !mrd_bytes_equal(snapshots, MRD_BYTES("all"))) {
        mrd_iceberg_rest_error(400, "BadRequestException", "snapshots is \"all\" or \"refs\"",
                               call->out);
        return;
    }
    if (!find_table(call, name, &place)) {
        return;
    }
    make_etag(&place, refs, call->out->etag);
    if (call->request->if_none_match.size > 0 &&
        etag_matches(call->request->if_none_match, call->out->etag)) {
        call->out->status = 304;
        return;
    }
    if (!load_table(call, &place, &metadata)) {
        return;
    }
    if (refs) {
        keep_current(metadata);
    }
    struct ice_json_writer json = answer_begin(call->out, 200);
    put_location(&json, &place);
    ice_put_metadata(&json, "metadata", metadata);
    ice_put_texts(&json, "config", place.config, place.config_count);
    answer_end(call->out, &json);
}

/* Whether it is there, without reading it. */
static void answer_table_exists(struct rest_call *call, struct mrd_bytes name)
{
    struct mrd_iceberg_place place;
    if (find_table(call, name, &place)) {
        call->out->status = 204;
    }
}

/* ---- views ---- */

/* The view is there if the table is that it is of. */
static bool find_view(struct rest_call *call, struct mrd_bytes name, struct mrd_iceberg_place *out)
{
    const struct mrd_iceberg_source *source = call->rest->source;
    struct mrd_error err;
    const enum mrd_status status =
        mrd_bytes_equal(name, MRD_BYTES(MRD_ICEBERG_VIEW))
            ? source->find(source->context, call->request->tenant, MRD_BYTES(MRD_ICEBERG_VIEW_OF),
                           call->request->control, call->arena, out, &err)
            : MRD_E_NOT_FOUND;
    if (status == MRD_E_NOT_FOUND) {
        not_found(call, "NoSuchViewException", "view", name);
    } else if (status != MRD_OK) {
        fail(call, status, &err);
    }
    return status == MRD_OK;
}

static void answer_views(struct rest_call *call)
{
    static const char *const names[] = {MRD_ICEBERG_VIEW};
    const struct mrd_iceberg_source *source = call->rest->source;
    struct mrd_iceberg_place place;
    struct mrd_error err;
    const enum mrd_status status =
        source->find(source->context, call->request->tenant, MRD_BYTES(MRD_ICEBERG_VIEW_OF),
                     call->request->control, call->arena, &place, &err);
    if (status != MRD_OK && status != MRD_E_NOT_FOUND) {
        fail(call, status, &err);
        return;
    }
    answer_identifiers(call, names, status == MRD_OK ? MRD_ARRAY_LEN(names) : 0);
}

static void answer_view(struct rest_call *call, struct mrd_bytes name)
{
    struct mrd_iceberg_place place;
    struct mrd_iceberg_metadata *metadata;
    const struct mrd_bytes catalog = call->request->catalog;
    if (catalog.size > CATALOG_SIZE_MAX || !mrd_bytes_utf8_valid(catalog)) {
        mrd_iceberg_rest_error(400, "BadRequestException",
                               "the name of the catalog (X-Iceberg-Catalog) is no UTF-8 or longer "
                               "than 256 bytes",
                               call->out);
        return;
    }
    if (!find_view(call, name, &place) || !load_table(call, &place, &metadata)) {
        return;
    }
    const struct mrd_iceberg_view view = {metadata, call->request->tenant, catalog};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf location = {0};
    mrd_iceberg_view_location(&view, &location);
    struct ice_json_writer json = answer_begin(call->out, 200);
    ice_put_bytes(&json, "metadata-location", mrd_buf_view(&location));
    ice_put_view(&json, "metadata", &view);
    ice_put_texts(&json, "config", NULL, 0);
    answer_end(call->out, &json);
}

static void answer_view_exists(struct rest_call *call, struct mrd_bytes name)
{
    struct mrd_iceberg_place place;
    if (find_view(call, name, &place)) {
        call->out->status = 204;
    }
}

/* ---- paths ---- */

/* False: no such path. */
static bool split_path(struct rest_call *call)
{
    struct mrd_reader path = mrd_reader_of(call->request->path);
    size_t used = 0;
    if (call->request->path.size > PATH_SIZE_MAX) {
        return false;
    }
    while (call->segment_count < SEGMENTS_MAX) {
        const uint8_t *slash =
            mrd_reader_left(&path) == 0 ? NULL : memchr(path.at, '/', mrd_reader_left(&path));
        const size_t size = slash == NULL ? mrd_reader_left(&path) : (size_t)(slash - path.at);
        const struct mrd_bytes text = mrd_read_bytes(&path, size);
        struct mrd_bytes *segment = &call->segments[call->segment_count++];
        segment->data = call->decoded + used;
        if (size == 0 || !mrd_percent_decode(text, false, call->decoded + used, &segment->size)) {
            return false;
        }
        used += segment->size;
        if (slash == NULL) {
            return true;
        }
        (void)mrd_read_u8(&path);
    }
    return false;
}

static bool segment_is(const struct rest_call *call, size_t index, const char *word)
{
    return call->segment_count > index &&
           mrd_bytes_equal(call->segments[index], mrd_bytes_of(word));
}

static void refuse_write(struct rest_call *call)
{
    mrd_iceberg_rest_error(
        406, "UnsupportedOperationException",
        "this catalog is read-only: its tables are written by the compactor alone", call->out);
}

static void no_such_path(struct rest_call *call)
{
    mrd_iceberg_rest_error(404, "NotFoundException", "the catalog has no such path", call->out);
}

/* Tokens are not made here. In OAuth's form, as clients expect at that path. */
static void refuse_token(struct rest_call *call)
{
    struct ice_json_writer json = answer_begin(call->out, 400);
    ice_put_text(&json, "error", "unsupported_grant_type");
    ice_put_text(
        &json, "error_description",
        "this catalog gives out no tokens: send what authenticates you with every request");
    answer_end(call->out, &json);
}

/* Behind .../namespaces/{tenant}/tables/{table}. */
static void answer_below_table(struct rest_call *call)
{
    const enum mrd_iceberg_rest_method method = call->request->method;
    const struct mrd_bytes name = call->segments[5];
    if (call->segment_count == 6 && method == MRD_ICEBERG_REST_GET) {
        answer_table(call, name);
    } else if (call->segment_count == 6 && method == MRD_ICEBERG_REST_HEAD) {
        answer_table_exists(call, name);
    } else if (call->segment_count == 7 && segment_is(call, 6, "metrics") &&
               method == MRD_ICEBERG_REST_POST) {
        answer_table_exists(call, name);
    } else {
        no_such_path(call);
    }
}

/* Whoever asks for a table of a namespace that is not there hears that the table is not. Iceberg's Java library goes on from that, and from no other
 * answer: `samples.files` is asked for as table `files` of a namespace `samples` first. */
static void answer_no_namespace(struct rest_call *call)
{
    if (call->segment_count > 5 && segment_is(call, 4, "tables")) {
        not_found(call, "NoSuchTableException", "table", call->segments[5]);
    } else if (call->segment_count > 5 && segment_is(call, 4, "views")) {
        not_found(call, "NoSuchViewException", "view", call->segments[5]);
    } else {
        not_found(call, "NoSuchNamespaceException", "namespace", call->segments[3]);
    }
}

/* Behind .../namespaces/{tenant}; reading only, but for metrics. */
static void answer_below_namespace(struct rest_call *call)
{
    const bool get = call->request->method == MRD_ICEBERG_REST_GET;
    if (!mrd_bytes_equal(call->segments[3], call->request->tenant)) {
        answer_no_namespace(call);
    } else if (call->segment_count == 4 && get) {
        answer_namespace(call);
    } else if (call->segment_count == 4) {
        call->out->status = 204;
    } else if (call->segment_count == 5 && segment_is(call, 4, "tables") && get) {
        answer_tables(call);
    } else if (call->segment_count == 5 && segment_is(call, 4, "views") && get) {
        answer_views(call);
    } else if (call->segment_count == 6 && segment_is(call, 4, "views") && get) {
        answer_view(call, call->segments[5]);
    } else if (call->segment_count == 6 && segment_is(call, 4, "views")) {
        answer_view_exists(call, call->segments[5]);
    } else if (call->segment_count > 5 && segment_is(call, 4, "tables")) {
        answer_below_table(call);
    } else {
        no_such_path(call);
    }
}

static bool is_write(const struct rest_call *call)
{
    const enum mrd_iceberg_rest_method method = call->request->method;
    const bool metrics = method == MRD_ICEBERG_REST_POST && call->segment_count == 7 &&
                         segment_is(call, 4, "tables") && segment_is(call, 6, "metrics");
    return !metrics && (method == MRD_ICEBERG_REST_POST || method == MRD_ICEBERG_REST_OTHER);
}

static void route(struct rest_call *call)
{
    if (!split_path(call) || !segment_is(call, 0, "v1")) {
        no_such_path(call);
    } else if (call->segment_count == 3 && segment_is(call, 1, "oauth") &&
               segment_is(call, 2, "tokens")) {
        refuse_token(call);
    } else if (is_write(call)) {
        refuse_write(call);
    } else if (call->segment_count == 2 && segment_is(call, 1, "config")) {
        answer_config(call);
    } else if (call->segment_count < 3 || !segment_is(call, 2, "namespaces")) {
        no_such_path(call);
    } else if (!segment_is(call, 1, call->rest->region)) {
        not_found(call, "NoSuchWarehouseException", "warehouse", call->segments[1]);
    } else if (call->segment_count == 3) {
        answer_namespaces(call);
    } else {
        answer_below_namespace(call);
    }
}

void mrd_iceberg_rest_answer(const struct mrd_iceberg_rest *rest,
                             const struct mrd_iceberg_rest_request *request,
                             struct mrd_iceberg_rest_reply *out)
{
    out->etag[0] = '\0';
    if (rest->source == NULL) {
        mrd_iceberg_rest_error(501, "UnsupportedOperationException",
                               "block storage is not configured in this region, so there are no "
                               "Iceberg tables",
                               out);
        return;
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("Iceberg catalog request", rest->memory_bytes_max);
    struct rest_call call = {.rest = rest, .request = request, .out = out, .arena = arena};
    route(&call);
}
