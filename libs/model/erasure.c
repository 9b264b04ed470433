#include "model/erasure.h"

#include <inttypes.h>

#include "model/tenant.h"

enum { ERASURE_VERSION = 1, MATCHER_SIZE_MIN = 3 };

/* ---- writing ---- */

static void put_text(struct mrd_buf *out, struct mrd_bytes text)
{
    mrd_buf_append_varint(out, text.size);
    mrd_buf_append_bytes(out, text);
}

static void put_selector(struct mrd_buf *out, const struct mrd_erasure_selector *selector)
{
    mrd_buf_append_varint(out, selector->matcher_count);
    for (size_t i = 0; i < selector->matcher_count; i++) {
        const struct mrd_matcher *matcher = &selector->matchers[i];
        mrd_buf_append_u8(out, (uint8_t)matcher->type);
        put_text(out, matcher->name);
        put_text(out, matcher->value);
    }
}

static enum mrd_status selectors_check(const struct mrd_erasure *erasure, struct mrd_error *err)
{
    if (erasure->selector_count == 0 || erasure->selector_count > MRD_ERASURE_SELECTORS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "an erasure has 1 to %d selectors, not %zu",
                        MRD_ERASURE_SELECTORS_MAX, erasure->selector_count);
    }
    for (size_t i = 0; i < erasure->selector_count; i++) {
        const size_t count = erasure->selectors[i].matcher_count;
        if (count == 0 || count > MRD_ERASURE_MATCHERS_MAX) {
            return mrd_fail(err, MRD_E_INVALID,
                            "a selector of an erasure has 1 to %d matchers, not %zu",
                            MRD_ERASURE_MATCHERS_MAX, count);
        }
    }
    return MRD_OK;
}

static enum mrd_status erasure_check(const struct mrd_erasure *erasure, struct mrd_error *err)
{
    if (erasure->tenant.size == 0 || erasure->tenant.size > MRD_TENANT_SIZE_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "an erasure of a tenant of %zu bytes, not 1 to %d",
                        erasure->tenant.size, MRD_TENANT_SIZE_MAX);
    }
    if (erasure->by.size > MRD_ERASURE_BY_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "who asks for an erasure has %zu bytes, at most %d",
                        erasure->by.size, MRD_ERASURE_BY_MAX);
    }
    return selectors_check(erasure, err);
}

enum mrd_status mrd_erasure_encode(const struct mrd_erasure *erasure, struct mrd_buf *out,
                                   struct mrd_error *err)
{
    MRD_TRY(erasure_check(erasure, err));
    const size_t before = out->size;
    mrd_buf_append_u8(out, ERASURE_VERSION);
    mrd_buf_append_u64(out, erasure->id.low);
    mrd_buf_append_u64(out, erasure->id.high);
    mrd_buf_append_u64(out, erasure->hlc);
    put_text(out, erasure->tenant);
    put_text(out, erasure->by);
    mrd_buf_append_zigzag(out, erasure->time_min_ms);
    mrd_buf_append_zigzag(out, erasure->time_max_ms);
    mrd_buf_append_varint(out, erasure->selector_count);
    for (size_t i = 0; i < erasure->selector_count; i++) {
        put_selector(out, &erasure->selectors[i]);
    }
    if (out->failed || out->size - before > MRD_ERASURE_SIZE_MAX) {
        const size_t size = out->size - before;
        out->size = before;
        return mrd_fail(err, MRD_E_INVALID, "the selectors have %zu bytes, at most %d", size,
                        MRD_ERASURE_SIZE_MAX);
    }
    return MRD_OK;
}

/* ---- reading ---- */

static enum mrd_status malformed(const char *what, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "erasure: malformed %s", what);
}

static struct mrd_bytes get_text(struct mrd_reader *reader)
{
    return mrd_read_bytes(reader, mrd_read_varint(reader));
}

static enum mrd_status get_matcher(struct mrd_reader *reader, struct mrd_matcher *out,
                                   struct mrd_error *err)
{
    const uint8_t type = mrd_read_u8(reader);
    const struct mrd_bytes name = get_text(reader);
    const struct mrd_bytes value = get_text(reader);
    if (reader->failed || type > MRD_MATCH_NRE) {
        return malformed("matcher", err);
    }
    return mrd_matcher_init(out, (enum mrd_match_type)type, name, value, err);
}

static enum mrd_status get_selector(struct mrd_reader *reader, struct mrd_arena *arena,
                                    struct mrd_erasure_selector *out, struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(reader);
    if (reader->failed || count == 0 || count > MRD_ERASURE_MATCHERS_MAX ||
        count > mrd_reader_left(reader) / MATCHER_SIZE_MIN) {
        return malformed("selector", err);
    }
    struct mrd_matcher *matchers = mrd_arena_alloc_array(arena, (size_t)count, sizeof(*matchers));
    if (matchers == NULL) {
        return mrd_arena_fail(arena, err);
    }
    out->matchers = matchers;
    for (size_t i = 0; i < count; i++) {
        MRD_TRY(get_matcher(reader, &matchers[i], err));
        out->matcher_count++;
    }
    return MRD_OK;
}

static enum mrd_status get_selectors(struct mrd_reader *reader, struct mrd_arena *arena,
                                     struct mrd_erasure *out, struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(reader);
    if (reader->failed || count == 0 || count > MRD_ERASURE_SELECTORS_MAX) {
        return malformed("selectors", err);
    }
    struct mrd_erasure_selector *selectors =
        mrd_arena_alloc_array(arena, (size_t)count, sizeof(*selectors));
    if (selectors == NULL) {
        return mrd_arena_fail(arena, err);
    }
    memset(selectors, 0, (size_t)count * sizeof(*selectors));
    out->selectors = selectors;
    out->selector_count = (size_t)count; /* those not read yet have no matchers */
    for (size_t i = 0; i < count; i++) {
        MRD_TRY(get_selector(reader, arena, &selectors[i], err));
    }
    return mrd_reader_left(reader) == 0 ? MRD_OK : malformed("end", err);
}

enum mrd_status mrd_erasure_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                   struct mrd_erasure *out, struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    const uint8_t version = mrd_read_u8(&reader);
    if (bytes.size == 0 || bytes.size > MRD_ERASURE_SIZE_MAX) {
        return malformed("size", err);
    }
    if (version != ERASURE_VERSION) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "erasure: version %u is not known to this build (it knows %d)", version,
                        ERASURE_VERSION);
    }
    struct mrd_erasure erasure = {0};
    erasure.id.low = mrd_read_u64(&reader);
    erasure.id.high = mrd_read_u64(&reader);
    erasure.hlc = mrd_read_u64(&reader);
    erasure.tenant = get_text(&reader);
    erasure.by = get_text(&reader);
    erasure.time_min_ms = mrd_read_zigzag(&reader);
    erasure.time_max_ms = mrd_read_zigzag(&reader);
    if (reader.failed || erasure.tenant.size == 0 || erasure.tenant.size > MRD_TENANT_SIZE_MAX ||
        erasure.by.size > MRD_ERASURE_BY_MAX) {
        return malformed("head", err);
    }
    const enum mrd_status status = get_selectors(&reader, arena, &erasure, err);
    if (status != MRD_OK) {
        mrd_erasure_fini(&erasure);
        return status;
    }
    *out = erasure;
    return MRD_OK;
}

void mrd_erasure_fini(struct mrd_erasure *erasure)
{
    for (size_t i = 0; i < erasure->selector_count; i++) {
        const struct mrd_erasure_selector *selector = &erasure->selectors[i];
        for (size_t k = 0; k < selector->matcher_count; k++) {
            mrd_matcher_fini((struct mrd_matcher *)(uintptr_t)&selector->matchers[k]);
        }
    }
    erasure->selectors = NULL;
    erasure->selector_count = 0;
}

bool mrd_erasure_selects(const struct mrd_erasure *erasure, struct mrd_labels labels)
{
    for (size_t i = 0; i < erasure->selector_count; i++) {
        if (mrd_matchers_match(erasure->selectors[i].matchers, erasure->selectors[i].matcher_count,
                               labels)) {
            return true;
        }
    }
    return false;
}

bool mrd_erasure_is_of_tenant(const struct mrd_erasure *erasure)
{
    if (erasure->selector_count != 1 || erasure->selectors[0].matcher_count != 1 ||
        erasure->time_min_ms > MRD_ERASURE_TIME_MIN_MS ||
        erasure->time_max_ms < MRD_ERASURE_TIME_MAX_MS) {
        return false;
    }
    const struct mrd_matcher *matcher = &erasure->selectors[0].matchers[0];
    return matcher->type == MRD_MATCH_RE &&
           mrd_bytes_equal(matcher->name, MRD_BYTES(MRD_METRIC_NAME)) &&
           mrd_bytes_equal(matcher->value, MRD_BYTES(".*"));
}
