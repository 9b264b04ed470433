#include "tsdb/meta.h"

#include <inttypes.h>

#include <jansson.h>

static void json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* A count that is not there is 0. */
static bool count_get(const json_t *object, const char *name, uint64_t *out)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL) {
        *out = 0;
        return true;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool stats_get(const json_t *root, struct mrd_tsdb_stats *out)
{
    const json_t *stats = json_object_get(root, "stats");
    return count_get(stats, "numSamples", &out->samples) &&
           count_get(stats, "numFloatSamples", &out->floats) &&
           count_get(stats, "numHistogramSamples", &out->histograms) &&
           count_get(stats, "numSeries", &out->series) &&
           count_get(stats, "numChunks", &out->chunks);
}

static enum mrd_status fields_get(const json_t *root, struct mrd_tsdb_meta *out,
                                  struct mrd_error *err)
{
    const json_t *version = json_object_get(root, "version");
    const json_t *ulid = json_object_get(root, "ulid");
    const json_t *min = json_object_get(root, "minTime");
    const json_t *max = json_object_get(root, "maxTime");
    const json_t *thanos = json_object_get(root, "thanos");
    if (!json_is_integer(version) || json_integer_value(version) != 1) {
        return mrd_fail(err, MRD_E_INVALID, "meta.json: only version 1 is known");
    }
    if (!json_is_string(ulid) || !mrd_ulid_valid(mrd_bytes_of(json_string_value(ulid)))) {
        return mrd_fail(err, MRD_E_INVALID, "meta.json: \"ulid\" is not the name of a block");
    }
    if (!json_is_integer(min) || !json_is_integer(max) ||
        json_integer_value(min) > json_integer_value(max)) {
        return mrd_fail(err, MRD_E_INVALID, "meta.json: minTime and maxTime are no range of time");
    }
    if (!stats_get(root, &out->stats) ||
        !count_get(json_object_get(thanos, "downsample"), "resolution", &out->downsampled_ms)) {
        return mrd_fail(err, MRD_E_INVALID, "meta.json: a count is not a number of 0 or more");
    }
    memcpy(out->ulid, json_string_value(ulid), sizeof(out->ulid));
    out->min_ms = json_integer_value(min);
    out->max_ms = json_integer_value(max);
    return MRD_OK;
}

enum mrd_status mrd_tsdb_meta_read(struct mrd_bytes json, struct mrd_tsdb_meta *out,
                                   struct mrd_error *err)
{
    json_error_t problem;
    struct mrd_tsdb_meta meta = {0};
    if (json.size > MRD_TSDB_META_BYTES_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "meta.json has %zu bytes, more than %d", json.size,
                        MRD_TSDB_META_BYTES_MAX);
    }
    mrd_auto(json_drop)
    json_t *root = json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, &problem);
    if (!json_is_object(root)) {
        return mrd_fail(err, MRD_E_INVALID, "meta.json is not an object in JSON%s%s",
                        root == NULL ? ": " : "", root == NULL ? problem.text : "");
    }
    MRD_TRY(fields_get(root, &meta, err));
    *out = meta;
    return MRD_OK;
}

void mrd_tsdb_meta_write(const struct mrd_tsdb_meta *meta, struct mrd_buf *out)
{
    mrd_buf_printf(out,
                   "{\n\t\"ulid\": \"%s\",\n\t\"minTime\": %" PRId64 ",\n\t\"maxTime\": %" PRId64
                   ",\n\t\"stats\": {\n\t\t\"numSamples\": %" PRIu64
                   ",\n\t\t\"numFloatSamples\": %" PRIu64 ",\n\t\t\"numHistogramSamples\": %" PRIu64
                   ",\n\t\t\"numSeries\": %" PRIu64 ",\n\t\t\"numChunks\": %" PRIu64 "\n\t},\n",
                   meta->ulid, meta->min_ms, meta->max_ms, meta->stats.samples, meta->stats.floats,
                   meta->stats.histograms, meta->stats.series, meta->stats.chunks);
    mrd_buf_printf(out,
                   "\t\"compaction\": {\n\t\t\"level\": 1,\n\t\t\"sources\": [\n\t\t\t\"%s\"\n"
                   "\t\t]\n\t},\n\t\"version\": 1\n}\n",
                   meta->ulid);
}
