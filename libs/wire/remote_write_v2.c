#include "wire/remote_write_v2.h"

#include <inttypes.h>

#include "wire/remote_write_internal.h"

/* Tags of the messages, as bytes on the wire (prompb/io/prometheus/write/v2/types.proto). */
enum {
    REQUEST_RESERVED_END = 4, /* fields below were those of 1.0 */
    REQUEST_SYMBOLS = MRD_PB_TAG(4, MRD_PB_BYTES),
    REQUEST_TIMESERIES = MRD_PB_TAG(5, MRD_PB_BYTES),
    SERIES_LABELS = MRD_PB_TAG(1, MRD_PB_BYTES),
    SERIES_LABEL = MRD_PB_TAG(1, MRD_PB_VARINT), /* not packed */
    SERIES_SAMPLES = MRD_PB_TAG(2, MRD_PB_BYTES),
    SERIES_HISTOGRAMS = MRD_PB_TAG(3, MRD_PB_BYTES),
    SERIES_EXEMPLARS = MRD_PB_TAG(4, MRD_PB_BYTES),
    SERIES_METADATA = MRD_PB_TAG(5, MRD_PB_BYTES),
    SAMPLE_WITH_START_SIZE = MRD_RW_SAMPLE_FAST_SIZE + 7,
};

static enum mrd_status malformed(struct mrd_rw2_walk *walk, const uint8_t *at, const char *what,
                                 struct mrd_error *err)
{
    mrd_reader_fail(&walk->base.reader);
    return mrd_fail(err, MRD_E_INVALID,
                    "the body is not a remote-write 2.0 message: malformed %s at byte %zu of the "
                    "decoded body",
                    what, (size_t)(at - walk->base.start));
}

/* ---- the table of symbols ---- */

/* Goes over the whole message's fields and counts symbols. */
static enum mrd_status count_symbols(struct mrd_rw2_walk *walk, struct mrd_error *err)
{
    const uint8_t *at = walk->base.reader.at;
    const uint8_t *end = walk->base.reader.end;
    struct mrd_pb_field field = {0};
    while (at != end) {
        const uint8_t *start = at;
        if (mrd_unlikely(!mrd_pb_field_read(&at, end, &field))) {
            return malformed(walk, start, "field", err);
        }
        if (field.tag == REQUEST_SYMBOLS) {
            walk->symbol_count++;
        } else if (mrd_unlikely(field.tag >> 3 < REQUEST_RESERVED_END)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "the body is a remote-write 1.0 message, but Content-Type says 2.0 "
                            "(proto=io.prometheus.write.v2.Request)");
        } else if (mrd_unlikely(field.tag != REQUEST_TIMESERIES && field.tag >> 3 <= 5)) {
            return malformed(walk, start, "field", err);
        }
    }
    return walk->symbol_count <= MRD_RW2_SYMBOLS_MAX
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "the request has %zu symbols, at most %d go: send smaller requests",
                          walk->symbol_count, MRD_RW2_SYMBOLS_MAX);
}

static enum mrd_status read_symbols(struct mrd_rw2_walk *walk, uint64_t hash_seed,
                                    struct mrd_error *err)
{
    struct mrd_arena *arena = walk->base.arena;
    struct mrd_bytes *symbols = mrd_arena_alloc_array(arena, walk->symbol_count, sizeof(*symbols));
    struct mrd_id128 *hashes = mrd_arena_alloc_array(arena, walk->symbol_count, sizeof(*hashes));
    if (symbols == NULL || hashes == NULL) {
        return mrd_arena_fail(arena, err);
    }
    const uint8_t *at = walk->base.reader.at;
    const uint8_t *end = walk->base.reader.end;
    struct mrd_pb_field field = {0};
    for (size_t i = 0; i < walk->symbol_count;) {
        const bool read = mrd_pb_field_read(&at, end, &field);
        mrd_assert(read); /* it has been walked */
        if (field.tag == REQUEST_SYMBOLS) {
            symbols[i] = field.bytes;
            hashes[i] = mrd_hash128(field.bytes, hash_seed);
            if (mrd_bytes_equal(field.bytes, MRD_BYTES(MRD_METRIC_NAME))) {
                walk->name_symbol = (uint32_t)i;
            }
            i++;
        }
    }
    walk->symbols = symbols;
    walk->hashes = hashes;
    return symbols[0].size == 0
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "the first symbol is \"%.*s\": it must be the empty string",
                          (int)MRD_MIN(symbols[0].size, (size_t)64), (const char *)symbols[0].data);
}

enum mrd_status mrd_rw2_walk_init(struct mrd_rw2_walk *walk, struct mrd_bytes message,
                                  struct mrd_arena *arena, uint64_t hash_seed,
                                  struct mrd_error *err)
{
    *walk = (struct mrd_rw2_walk){0};
    mrd_rw_walk_init(&walk->base, message, arena);
    MRD_TRY(count_symbols(walk, err));
    return walk->symbol_count == 0 ? MRD_OK : read_symbols(walk, hash_seed, err);
}

/* ---- Sample ---- */

static bool sample_read_slow(struct mrd_bytes bytes, struct mrd_sample *out,
                             mrd_time_ms *out_start_ms)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = at + bytes.size;
    uint64_t value_bits = 0;
    uint64_t time = 0;
    uint64_t start = 0;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        if (field.tag == MRD_RW_SAMPLE_VALUE) {
            value_bits = field.scalar;
        } else if (field.tag == MRD_RW_SAMPLE_TIMESTAMP) {
            time = field.scalar;
        } else if (field.tag == MRD_RW_SAMPLE_START) {
            start = field.scalar;
        } else if (field.tag >> 3 <= 3) {
            return false;
        }
    }
    *out = (struct mrd_sample){(mrd_time_ms)time, mrd_double_from_bits(value_bits)};
    *out_start_ms = (mrd_time_ms)start;
    return true;
}

static inline bool sample_read(struct mrd_bytes bytes, struct mrd_sample *out,
                               mrd_time_ms *out_start_ms)
{
    const struct mrd_bytes head = {bytes.data, MRD_RW_SAMPLE_FAST_SIZE};
    if (bytes.size == SAMPLE_WITH_START_SIZE && bytes.data[head.size] == MRD_RW_SAMPLE_START &&
        mrd_rw_sample_fast(head, out) &&
        mrd_rw_time_fast(bytes.data + head.size + 1, out_start_ms)) {
        return true;
    }
    *out_start_ms = 0;
    return mrd_likely(mrd_rw_sample_fast(bytes, out)) || sample_read_slow(bytes, out, out_start_ms);
}

bool mrd_rw2_samples_next(struct mrd_bytes *rest, struct mrd_sample *out, mrd_time_ms *out_start_ms)
{
    const uint8_t *at = rest->data;
    const uint8_t *end = rest->size == 0 ? at : at + rest->size;
    struct mrd_pb_field field = {0};
    while (at != end && mrd_pb_field_read(&at, end, &field)) {
        if (field.tag == SERIES_SAMPLES) {
            *rest = (struct mrd_bytes){at, (size_t)(end - at)};
            return sample_read(field.bytes, out, out_start_ms);
        }
    }
    *rest = MRD_BYTES_NONE;
    return false;
}

/* ---- TimeSeries ---- */

/* Brings references that are not one packed field together; never longer than the entry. */
static bool references_gather(struct mrd_bytes entry, struct mrd_arena *arena,
                              struct mrd_bytes *out)
{
    uint8_t *place = mrd_arena_alloc_array(arena, entry.size, 1);
    if (place == NULL) {
        return false;
    }
    size_t size = 0;
    const uint8_t *at = entry.data;
    const uint8_t *end = at + entry.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        const bool read = mrd_pb_field_read(&at, end, &field);
        mrd_assert(read); /* the entry has been walked */
        if (field.tag == SERIES_LABELS && field.bytes.size > 0) {
            memcpy(place + size, field.bytes.data, field.bytes.size);
            size += field.bytes.size;
        } else if (field.tag == SERIES_LABEL) {
            size += mrd_varint_put(place + size, field.scalar);
        }
    }
    *out = (struct mrd_bytes){place, size};
    return true;
}

struct entry_state {
    bool scattered; /* references are not one packed field */
};

static bool entry_sample(struct mrd_rw_series *out, const uint8_t *field_start, const uint8_t *end,
                         struct mrd_bytes bytes)
{
    struct mrd_sample sample;
    mrd_time_ms start_ms;
    if (mrd_unlikely(!sample_read(bytes, &sample, &start_ms))) {
        return false;
    }
    out->has_start = out->has_start || start_ms != 0;
    if (out->sample_count++ == 0) {
        out->first = sample;
        out->samples = (struct mrd_bytes){field_start, (size_t)(end - field_start)};
    }
    return true;
}

/* A field that is neither a packed list of references nor a sample. */
static bool entry_other(struct mrd_rw_series *out, struct entry_state *state,
                        const uint8_t *field_start, const uint8_t *end,
                        const struct mrd_pb_field *field)
{
    if (field->tag == SERIES_LABEL) {
        state->scattered = true;
        return true;
    }
    if (out->others_size == 0) {
        out->others_size = (uint32_t)(end - field_start) & MRD_RW_OTHERS_SIZE_MASK;
    }
    if (field->tag == SERIES_METADATA) {
        out->has_metadata = true;
    } else if (field->tag == SERIES_HISTOGRAMS) {
        out->histogram_count++;
    } else if (field->tag == SERIES_EXEMPLARS) {
        out->exemplar_count++;
    } else if (field->tag >> 3 <= 5) {
        return false;
    }
    return true;
}

/* On failure *at tells where. */
static bool entry_read(const uint8_t **at, const uint8_t *end, struct entry_state *state,
                       struct mrd_rw_series *out)
{
    const uint8_t *p = *at;
    struct mrd_pb_field field = {0};
    while (p != end) {
        const uint8_t *start = p;
        *at = start;
        if (mrd_unlikely(!mrd_pb_field_read(&p, end, &field))) {
            return false;
        }
        if (field.tag == SERIES_LABELS) {
            state->scattered = state->scattered || out->labels.data != NULL;
            out->labels = field.bytes;
        } else if (field.tag == SERIES_SAMPLES) {
            if (mrd_unlikely(!entry_sample(out, start, end, field.bytes))) {
                return false;
            }
        } else if (mrd_unlikely(!entry_other(out, state, start, end, &field))) {
            return false;
        }
    }
    return true;
}

static enum mrd_status series_read(struct mrd_rw2_walk *walk, struct mrd_bytes entry,
                                   struct mrd_rw_series *out, struct mrd_error *err)
{
    struct entry_state state = {0};
    *out = (struct mrd_rw_series){
        .samples = {entry.data + entry.size, 0}
    };
    const uint8_t *at = entry.data;
    if (mrd_unlikely(!entry_read(&at, entry.data + entry.size, &state, out))) {
        return malformed(walk, at, "series", err);
    }
    if (mrd_unlikely(state.scattered) && walk->base.arena != NULL &&
        !references_gather(entry, walk->base.arena, &out->labels)) {
        return mrd_arena_fail(walk->base.arena, err);
    }
    struct mrd_rw_totals *totals = &walk->base.totals;
    totals->series++;
    totals->samples += out->sample_count;
    totals->histograms += out->histogram_count;
    totals->exemplars += out->exemplar_count;
    totals->metadata += out->has_metadata ? 1 : 0;
    return MRD_OK;
}

enum mrd_status mrd_rw2_walk_next(struct mrd_rw2_walk *walk, struct mrd_rw_series *out_series,
                                  size_t count_max, size_t *out_count, struct mrd_error *err)
{
    size_t count = 0;
    struct mrd_reader *reader = &walk->base.reader;
    struct mrd_pb_field field = {0};
    while (count < count_max && reader->at != reader->end) {
        const bool read = mrd_pb_field_read(&reader->at, reader->end, &field);
        mrd_assert(read); /* init has been over all fields */
        if (field.tag == REQUEST_TIMESERIES) {
            MRD_TRY(series_read(walk, field.bytes, &out_series[count], err));
            count++;
        }
    }
    *out_count = count;
    return MRD_OK;
}

enum mrd_status mrd_rw2_walk_rest(const struct mrd_rw2_walk *walk, struct mrd_rw_totals *out_totals,
                                  struct mrd_error *err)
{
    struct mrd_rw2_walk rest = *walk;
    rest.base.arena = NULL;
    struct mrd_rw_series ignored[16];
    size_t count = 1;
    while (count > 0) {
        MRD_TRY(mrd_rw2_walk_next(&rest, ignored, MRD_ARRAY_LEN(ignored), &count, err));
    }
    *out_totals = rest.base.totals;
    return MRD_OK;
}

/* ---- references ---- */

bool mrd_rw2_key(const struct mrd_rw2_walk *walk, struct mrd_bytes labels, struct mrd_id128 *out)
{
    /* Odd, so that every term keeps all its bits. The hashes are seeded with a secret, so nobody can look for
     * sequences that meet. */
    static const uint64_t low_factor = 0x9e3779b97f4a7c15;
    static const uint64_t high_factor = 0xd6e8feb86659fd93;
    const uint8_t *at = labels.data;
    const uint8_t *end = labels.size == 0 ? at : at + labels.size;
    struct mrd_id128 key = {1, 1};
    size_t count = 0;
    while (at != end) {
        uint64_t symbol;
        if (mrd_unlikely(!mrd_pb_varint(&at, end, &symbol) || symbol >= walk->symbol_count)) {
            return false;
        }
        key.low = key.low * low_factor + walk->hashes[symbol].low;
        key.high = key.high * high_factor + walk->hashes[symbol].high;
        count++;
    }
    *out = key;
    return count % 2 == 0;
}

enum mrd_status mrd_rw2_symbol(const struct mrd_rw2_walk *walk, uint64_t reference,
                               struct mrd_bytes *out, struct mrd_error *err)
{
    if (reference >= walk->symbol_count) {
        return mrd_fail(err, MRD_E_INVALID,
                        "reference %" PRIu64 " is beyond the request's %zu symbols", reference,
                        walk->symbol_count);
    }
    *out = walk->symbols[reference];
    return MRD_OK;
}

enum mrd_status mrd_rw2_labels_of(const struct mrd_rw2_walk *walk, struct mrd_bytes references,
                                  struct mrd_label *items, size_t count_max, size_t *out_count,
                                  struct mrd_error *err)
{
    const uint8_t *at = references.data;
    const uint8_t *end = references.size == 0 ? at : at + references.size;
    size_t count = 0;
    while (at != end) {
        uint64_t name;
        uint64_t value;
        if (!mrd_pb_varint(&at, end, &name)) {
            return mrd_fail(err, MRD_E_INVALID, "the references of labels are malformed");
        }
        if (at == end || !mrd_pb_varint(&at, end, &value)) {
            return mrd_fail(err, MRD_E_INVALID, "labels have an odd number of references");
        }
        if (count == count_max) {
            return mrd_fail(err, MRD_E_LIMIT, "more than %zu labels", count_max);
        }
        MRD_TRY(mrd_rw2_symbol(walk, name, &items[count].name, err));
        MRD_TRY(mrd_rw2_symbol(walk, value, &items[count].value, err));
        count++;
    }
    *out_count = count;
    return MRD_OK;
}

enum mrd_status mrd_rw2_labels_read(const struct mrd_rw2_walk *walk, struct mrd_bytes labels,
                                    struct mrd_label *items, size_t *out_count,
                                    struct mrd_error *err)
{
    const enum mrd_status status =
        mrd_rw2_labels_of(walk, labels, items, MRD_RW_LABELS_MAX, out_count, err);
    return status == MRD_OK ? MRD_OK : mrd_fail_prefix(err, status, "labels of a series");
}
