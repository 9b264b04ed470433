/* What a write brings besides float samples: histograms, exemplars, metadata. Each refuses only itself. */
#include "distributor/intake_internal.h"

enum {
    ITEM_SIZE = 64,  /* of an item in a batch but for its buckets or texts, about */
    BUCKET_SIZE = 8, /* likewise */
    EXEMPLAR_TEXT_MAX = 4 * MRD_EXEMPLAR_LABEL_RUNES_MAX,
    EXEMPLAR_SIZE_MAX = EXEMPLAR_TEXT_MAX + 4 * MRD_RW_EXEMPLAR_LABELS_MAX,
};

/* ---- histograms ---- */

static size_t size_of(const struct mrd_histogram *histogram)
{
    return ITEM_SIZE +
           BUCKET_SIZE * (histogram->positive.bucket_count + histogram->negative.bucket_count +
                          histogram->positive.span_count + histogram->negative.span_count +
                          histogram->custom_value_count);
}

/* Reads a histogram that may be written; false if it is rejected. */
static bool read_histogram(struct dst_taking *taking, struct mrd_bytes message,
                           struct mrd_rw_histogram *out)
{
    struct mrd_error why;
    const struct dst_limits *limits = &taking->write->limits;
    struct mrd_rw_histogram_room *room = taking->intake->histogram_room;
    const enum mrd_status status = mrd_rw_histogram_read(message, room, out, NULL);
    if (status != MRD_OK) {
        const enum dst_reason reason =
            status == MRD_E_LIMIT ? DST_REASON_HISTOGRAM_LIMIT : DST_REASON_HISTOGRAM;
        if (dst_take_first(taking, reason)) {
            (void)!mrd_rw_histogram_read(message, room, out, &why);
        }
        dst_take_reject(taking, DST_KIND_HISTOGRAMS, reason, 1, &why);
        return false;
    }
    const size_t buckets =
        out->histogram.positive.bucket_count + out->histogram.negative.bucket_count;
    if (buckets > limits->histogram_buckets_max) {
        (void)mrd_fail(&why, MRD_E_LIMIT,
                       "a native histogram has %zu buckets, more than the limit of %zu "
                       "(limits.histogram_buckets_max): use a lower resolution",
                       buckets, limits->histogram_buckets_max);
        dst_take_reject(taking, DST_KIND_HISTOGRAMS, DST_REASON_HISTOGRAM_LIMIT, 1, &why);
        return false;
    }
    return dst_take_time(taking, DST_KIND_HISTOGRAMS, out->time_ms);
}

static enum mrd_status take_histograms(struct dst_taking *taking,
                                       const struct mrd_rw_series *series, struct mrd_id128 key,
                                       struct mrd_error *err) MRD_ON(mrd_shard_thread);
static enum mrd_status take_histograms(struct dst_taking *taking,
                                       const struct mrd_rw_series *series, struct mrd_id128 key,
                                       struct mrd_error *err)
{
    struct mrd_bytes rest = mrd_rw_series_others(series);
    struct mrd_bytes message;
    const enum mrd_rw_version version = taking->v2 == NULL ? MRD_RW_1 : MRD_RW_2;
    for (uint32_t i = 0; mrd_rw_histogram_next(version, &rest, &message); i++) {
        struct mrd_rw_histogram histogram;
        struct dst_series *ready;
        if (!read_histogram(taking, message, &histogram)) {
            continue;
        }
        const enum mrd_status status =
            dst_take_ready(taking, series, key, size_of(&histogram.histogram), &ready, err);
        if (dst_take_is_new(taking, status)) {
            MRD_TRY(dst_take_after(taking, status, DST_KIND_HISTOGRAMS, 1, err));
            continue;
        }
        if (status != MRD_OK) { /* nor can those that follow be of such a series */
            return dst_take_after(taking, status, DST_KIND_HISTOGRAMS, series->histogram_count - i,
                                  err);
        }
        dst_batcher_histogram(taking->intake->batcher, taking->write, ready, &histogram);
    }
    return MRD_OK;
}

/* ---- exemplars ---- */

static enum mrd_status parse_exemplar(struct dst_taking *taking, struct mrd_bytes message,
                                      struct mrd_label *items, size_t *count,
                                      struct mrd_exemplar *out, struct mrd_error *err)
{
    if (taking->v2 == NULL) {
        MRD_TRY(mrd_rw_exemplar_read(message, items, count, out, err));
    } else {
        MRD_TRY(mrd_rw2_exemplar_read(taking->v2, message, items, count, out, err));
    }
    return mrd_exemplar_labels_check(items, count, err);
}

/* Reads an exemplar that may be written, its labels canonical in `labels`; false if it is rejected. */
static bool read_exemplar(struct dst_taking *taking, struct mrd_bytes message,
                          struct mrd_buf *labels, struct mrd_exemplar *out)
{
    struct mrd_label items[MRD_RW_EXEMPLAR_LABELS_MAX];
    size_t count = 0;
    struct mrd_error why;
    if (parse_exemplar(taking, message, items, &count, out, NULL) != MRD_OK) {
        if (dst_take_first(taking, DST_REASON_EXEMPLAR)) {
            (void)!parse_exemplar(taking, message, items, &count, out, &why);
        }
        dst_take_reject(taking, DST_KIND_EXEMPLARS, DST_REASON_EXEMPLAR, 1, &why);
        return false;
    }
    mrd_buf_clear(labels);
    mrd_labels_encode((struct mrd_labels){items, count}, labels);
    mrd_assert(labels->size <= EXEMPLAR_SIZE_MAX);
    out->labels = mrd_buf_view(labels);
    return dst_take_time(taking, DST_KIND_EXEMPLARS, out->time_ms);
}

static void reject_over_limit(struct dst_taking *taking, uint64_t count)
{
    struct mrd_error why;
    (void)mrd_fail(&why, MRD_E_LIMIT,
                   "the request has more exemplars than the limit of %zu "
                   "(limits.exemplars_per_request_max)",
                   taking->write->limits.exemplars_per_request_max);
    dst_take_reject(taking, DST_KIND_EXEMPLARS, DST_REASON_EXEMPLAR_LIMIT, count, &why);
}

static enum mrd_status take_exemplars(struct dst_taking *taking, const struct mrd_rw_series *series,
                                      struct mrd_id128 key, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_exemplars(struct dst_taking *taking, const struct mrd_rw_series *series,
                                      struct mrd_id128 key, struct mrd_error *err)
{
    struct mrd_bytes rest = mrd_rw_series_others(series);
    struct mrd_bytes message;
    const enum mrd_rw_version version = taking->v2 == NULL ? MRD_RW_1 : MRD_RW_2;
    for (uint32_t i = 0; mrd_rw_exemplar_next(version, &rest, &message); i++) {
        struct mrd_exemplar exemplar;
        struct dst_series *ready;
        if (taking->exemplars++ >= taking->write->limits.exemplars_per_request_max) {
            reject_over_limit(taking, series->exemplar_count - i);
            return MRD_OK;
        }
        if (!read_exemplar(taking, message, &taking->intake->exemplar_labels, &exemplar)) {
            continue;
        }
        const enum mrd_status status =
            dst_take_ready(taking, series, key, ITEM_SIZE + exemplar.labels.size, &ready, err);
        if (dst_take_is_new(taking, status)) {
            MRD_TRY(dst_take_after(taking, status, DST_KIND_EXEMPLARS, 1, err));
            continue;
        }
        if (status != MRD_OK) { /* nor can those that follow be of such a series */
            return dst_take_after(taking, status, DST_KIND_EXEMPLARS, series->exemplar_count - i,
                                  err);
        }
        dst_batcher_exemplar(taking->intake->batcher, taking->write, ready, &exemplar);
    }
    return MRD_OK;
}

/* ---- metadata ---- */

static void reject_metadata(struct dst_taking *taking, enum dst_reason reason,
                            const struct mrd_error *why)
{
    dst_take_reject(taking, DST_KIND_METADATA, reason, 1, why);
}

static enum mrd_status check_metadata(struct dst_taking *taking,
                                      const struct mrd_metadata *metadata, struct mrd_error *err)
{
    const struct dst_limits *limits = &taking->write->limits;
    const size_t size = metadata->family.size + metadata->help.size + metadata->unit.size;
    if (taking->metadata > limits->metadata_per_request_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "the request has more metadata entries than the limit of %zu "
                        "(limits.metadata_per_request_max)",
                        limits->metadata_per_request_max);
    }
    if (size > limits->metadata_bytes_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "the metadata of a metric family has %zu bytes, more than the limit of %zu "
                        "(limits.metadata_bytes_max)",
                        size, limits->metadata_bytes_max);
    }
    return mrd_bytes_utf8_valid(metadata->family) && mrd_bytes_utf8_valid(metadata->help) &&
                   mrd_bytes_utf8_valid(metadata->unit)
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "a metadata entry is not UTF-8");
}

/* False if the entry is beyond a limit or no text: it is rejected then. */
static bool metadata_allowed(struct dst_taking *taking, const struct mrd_metadata *metadata)
{
    struct mrd_error why;
    taking->metadata++;
    const enum mrd_status status = check_metadata(taking, metadata, NULL);
    if (status == MRD_OK) {
        return true;
    }
    const enum dst_reason reason =
        status == MRD_E_LIMIT ? DST_REASON_METADATA_LIMIT : DST_REASON_METADATA;
    if (dst_take_first(taking, reason)) {
        (void)!check_metadata(taking, metadata, &why);
    }
    reject_metadata(taking, reason, &why);
    return false;
}

/* Stands for the whole entry, so that another text is another entry. */
static struct mrd_id128 metadata_key(const struct dst_taking *taking,
                                     const struct mrd_metadata *metadata)
{
    uint64_t parts[6];
    const struct mrd_bytes texts[3] = {metadata->family, metadata->help, metadata->unit};
    for (size_t i = 0; i < MRD_ARRAY_LEN(texts); i++) {
        const struct mrd_id128 hash = mrd_hash128(texts[i], taking->key_seed);
        parts[2 * i] = hash.low;
        parts[2 * i + 1] = hash.high;
    }
    const struct mrd_bytes all = {(const uint8_t *)parts, sizeof(parts)};
    return mrd_hash128(all, taking->key_seed + metadata->type);
}

/* Metadata of a family goes to one partition, whatever its texts. */
static uint32_t metadata_partition(const struct dst_taking *taking, struct mrd_bytes family)
{
    return mrd_series_partition(mrd_series_id_of(taking->tenant_seed, family),
                                taking->intake->options.batcher.partition_count);
}

static void add_metadata(struct dst_taking *taking, const struct mrd_metadata *metadata)
    MRD_ON(mrd_shard_thread);
static void add_metadata(struct dst_taking *taking, const struct mrd_metadata *metadata)
{
    struct dst_intake *intake = taking->intake;
    if (!metadata_allowed(taking, metadata)) {
        return;
    }
    const struct mrd_id128 key = metadata_key(taking, metadata);
    struct dst_series *family = dst_series_cache_find(&intake->families, key);
    if (family == NULL) {
        family = dst_series_cache_insert(&intake->families, key, taking->epoch);
        family->partition = metadata_partition(taking, metadata->family);
    }
    const size_t size = metadata->family.size + metadata->help.size + metadata->unit.size;
    dst_batcher_reserve(intake->batcher, family->partition, ITEM_SIZE + size);
    dst_batcher_metadata(intake->batcher, taking->write, family, metadata);
}

void dst_take_metadata(struct dst_taking *taking, struct mrd_bytes metadata)
{
    struct mrd_metadata entry;
    enum mrd_status status;
    struct mrd_error why;
    while (mrd_rw_metadata_next(&metadata, &entry, &status,
                                dst_take_first(taking, DST_REASON_METADATA) ? &why : NULL)) {
        if (status == MRD_OK) {
            add_metadata(taking, &entry);
        } else {
            reject_metadata(taking, DST_REASON_METADATA, &why);
        }
    }
}

/* Series of a family all bring its metadata: what this write has brought already costs a comparison. */
static void take_series_metadata(struct dst_taking *taking, const struct mrd_rw_series *series)
    MRD_ON(mrd_shard_thread);
static void take_series_metadata(struct dst_taking *taking, const struct mrd_rw_series *series)
{
    struct mrd_rw2_metadata numbers;
    struct mrd_error why;
    if (mrd_rw2_metadata_read(taking->v2, series, &numbers, &why) != MRD_OK) {
        taking->write->asked[DST_KIND_METADATA]++;
        reject_metadata(taking, DST_REASON_METADATA, &why);
        return;
    }
    const bool says_nothing =
        numbers.type == MRD_FAMILY_UNKNOWN && numbers.help_symbol == 0 && numbers.unit_symbol == 0;
    struct mrd_rw2_metadata *said = &taking->said[numbers.name_symbol];
    if (says_nothing || numbers.name_symbol == 0 || memcmp(said, &numbers, sizeof(numbers)) == 0) {
        return;
    }
    *said = numbers;
    const struct mrd_bytes *symbols = taking->v2->symbols;
    const struct mrd_metadata metadata = {
        .type = numbers.type,
        .family = mrd_family_of(symbols[numbers.name_symbol], numbers.type),
        .help = symbols[numbers.help_symbol],
        .unit = symbols[numbers.unit_symbol],
    };
    if (metadata.family.size > 0) {
        taking->write->asked[DST_KIND_METADATA]++;
        add_metadata(taking, &metadata);
    }
}

enum mrd_status dst_take_others(struct dst_taking *taking, const struct mrd_rw_series *series,
                                struct mrd_id128 key, struct mrd_error *err)
{
    if (series->histogram_count > 0) {
        MRD_TRY(take_histograms(taking, series, key, err));
    }
    if (series->exemplar_count > 0) {
        MRD_TRY(take_exemplars(taking, series, key, err));
    }
    if (series->has_metadata && !taking->again) {
        take_series_metadata(taking, series);
    }
    return MRD_OK;
}
