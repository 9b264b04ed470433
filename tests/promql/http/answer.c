#include "answer.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "promqltest/script_shape.h"

static const char QUERY_PREFIX[] = "invalid parameter \"query\": ";

static enum mrd_status no_answer(struct mrd_error *err, const char *what)
{
    return mrd_fail(err, MRD_E_UNAVAILABLE, "not an answer of the API: %s", what);
}

static void *take(struct mrd_arena *arena, size_t count, size_t size)
{
    void *memory = mrd_arena_alloc(arena, (count + 1) * size);
    mrd_assert(memory != NULL);
    memset(memory, 0, (count + 1) * size);
    return memory;
}

static struct mrd_bytes copy_text(struct mrd_arena *arena, const char *text, size_t size)
{
    uint8_t *copy = take(arena, size, 1);
    memcpy(copy, text, size);
    return (struct mrd_bytes){copy, size};
}

static struct mrd_bytes text_of(struct mrd_arena *arena, const json_t *json)
{
    return copy_text(arena, json_string_value(json), json_string_length(json));
}

static mrd_time_ms time_of(const json_t *json)
{
    return (mrd_time_ms)llround(json_number_value(json) * 1000);
}

/* A number as the API writes them: as a string. */
static bool number_of(const json_t *json, double *out)
{
    return json_is_string(json) &&
           mrd_double_parse(json_string_value(json), json_string_length(json), out);
}

/* ---- histograms ---- */

/* [0,"-0.5","0.5","3"] */
static bool read_bucket(const json_t *json, struct script_bucket *out)
{
    const json_t *rule = json_array_get(json, 0);
    const json_int_t number = json_integer_value(rule);
    out->rule = (enum script_bounds)number;
    return json_array_size(json) == 4 && json_is_integer(rule) && number >= SCRIPT_BOUNDS_UPPER &&
           number <= SCRIPT_BOUNDS_BOTH && number_of(json_array_get(json, 1), &out->lower) &&
           number_of(json_array_get(json, 2), &out->upper) &&
           number_of(json_array_get(json, 3), &out->count);
}

static const struct mrd_float_histogram *read_histogram(const json_t *json, struct mrd_arena *arena)
{
    const json_t *buckets = json_object_get(json, "buckets");
    const size_t count = json_array_size(buckets);
    struct mrd_float_histogram *shape = script_shape_create(arena, count);
    if (!number_of(json_object_get(json, "count"), &shape->count) ||
        !number_of(json_object_get(json, "sum"), &shape->sum) || (buckets != NULL && count == 0)) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        struct script_bucket bucket = {0};
        if (!read_bucket(json_array_get(buckets, i), &bucket)) {
            return NULL;
        }
        script_shape_add(shape, bucket);
    }
    return shape;
}

/* ---- series ---- */

static int label_compare(const void *a, const void *b)
{
    return mrd_bytes_compare(((const struct mrd_label *)a)->name,
                             ((const struct mrd_label *)b)->name);
}

static struct mrd_labels read_labels(json_t *json, struct mrd_arena *arena)
{
    struct mrd_label *items = take(arena, json_object_size(json), sizeof(*items));
    size_t count = 0;
    for (void *at = json_object_iter(json); at != NULL; at = json_object_iter_next(json, at)) {
        const char *name = json_object_iter_key(at);
        items[count++] = (struct mrd_label){copy_text(arena, name, strlen(name)),
                                            text_of(arena, json_object_iter_value(at))};
    }
    qsort(items, count, sizeof(*items), label_compare);
    return (struct mrd_labels){items, count};
}

struct points {
    mrd_time_ms *times_ms;
    double *values;
    const struct mrd_float_histogram **histograms;
    size_t count;
};

static bool add_point(struct points *points, const json_t *pair, bool is_histogram,
                      struct mrd_arena *arena)
{
    const size_t at = points->count++;
    if (json_array_size(pair) != 2 || !json_is_number(json_array_get(pair, 0))) {
        return false;
    }
    points->times_ms[at] = time_of(json_array_get(pair, 0));
    if (is_histogram) {
        points->histograms[at] = read_histogram(json_array_get(pair, 1), arena);
        return points->histograms[at] != NULL;
    }
    return number_of(json_array_get(pair, 1), &points->values[at]);
}

/* Floats and histograms come in two lists, each in the order of time. */
static bool read_points(const json_t *floats, const json_t *histograms, struct points *points,
                        struct mrd_arena *arena)
{
    size_t f = 0;
    size_t h = 0;
    while (f < json_array_size(floats) || h < json_array_size(histograms)) {
        const json_t *a = json_array_get(floats, f);
        const json_t *b = json_array_get(histograms, h);
        const bool is_histogram = a == NULL || (b != NULL && time_of(json_array_get(b, 0)) <
                                                                 time_of(json_array_get(a, 0)));
        if (!add_point(points, is_histogram ? b : a, is_histogram, arena)) {
            return false;
        }
        f += !is_histogram;
        h += is_histogram;
    }
    return true;
}

static bool read_series(const json_t *json, bool matrix, struct mrd_arena *arena,
                        struct mrd_promql_series *out)
{
    const json_t *floats = json_object_get(json, matrix ? "values" : "value");
    const json_t *histograms = json_object_get(json, matrix ? "histograms" : "histogram");
    const size_t count = matrix ? json_array_size(floats) + json_array_size(histograms) : (size_t)1;
    if (!matrix && (floats == NULL) == (histograms == NULL)) {
        return false;
    }
    struct points points = {.times_ms = take(arena, count, sizeof(mrd_time_ms)),
                            .values = take(arena, count, sizeof(double)),
                            .histograms = take(arena, count, sizeof(void *))};
    const bool ok =
        matrix ? read_points(floats, histograms, &points, arena)
               : add_point(&points, floats != NULL ? floats : histograms, floats == NULL, arena);
    *out = (struct mrd_promql_series){.labels = read_labels(json_object_get(json, "metric"), arena),
                                      .times_ms = points.times_ms,
                                      .values = points.values,
                                      .histograms = points.histograms,
                                      .count = points.count};
    return ok;
}

static enum mrd_status read_all_series(const json_t *result, bool matrix, struct mrd_arena *arena,
                                       struct mrd_promql_result *out, struct mrd_error *err)
{
    const size_t count = json_array_size(result);
    struct mrd_promql_series *series = take(arena, count, sizeof(*series));
    for (size_t i = 0; i < count; i++) {
        if (!read_series(json_array_get(result, i), matrix, arena, &series[i])) {
            return no_answer(err, "a point is no number and no histogram");
        }
    }
    out->type = matrix ? MRD_PROMQL_MATRIX : MRD_PROMQL_VECTOR;
    out->series = series;
    out->series_count = count;
    return MRD_OK;
}

/* ---- answers ---- */

static enum mrd_status read_result(const json_t *data, struct mrd_arena *arena,
                                   struct mrd_promql_result *out, struct mrd_error *err)
{
    const char *type = json_string_value(json_object_get(data, "resultType"));
    const json_t *result = json_object_get(data, "result");
    if (type == NULL || !json_is_array(result)) {
        return no_answer(err, "no result");
    }
    if (strcmp(type, "string") == 0) {
        out->type = MRD_PROMQL_STRING;
        out->string = text_of(arena, json_array_get(result, 1));
        return MRD_OK;
    }
    if (strcmp(type, "scalar") == 0) {
        out->type = MRD_PROMQL_SCALAR;
        out->scalar.time_ms = time_of(json_array_get(result, 0));
        return number_of(json_array_get(result, 1), &out->scalar.value)
                   ? MRD_OK
                   : no_answer(err, "a scalar is no number");
    }
    return read_all_series(result, strcmp(type, "matrix") == 0, arena, out, err);
}

static enum mrd_status read_error(long http_status, const json_t *answer, struct mrd_error *err)
{
    const char *type = json_string_value(json_object_get(answer, "errorType"));
    const char *text = json_string_value(json_object_get(answer, "error"));
    if (type == NULL || text == NULL) {
        return no_answer(err, "an error without type or text");
    }
    if (http_status == 400 && strcmp(type, "bad_data") == 0 &&
        strncmp(text, QUERY_PREFIX, strlen(QUERY_PREFIX)) == 0) {
        return mrd_fail(err, MRD_E_INVALID, "%s", text + strlen(QUERY_PREFIX));
    }
    return http_status == 422 && strcmp(type, "execution") == 0
               ? mrd_fail(err, MRD_E_INVALID, "%s", text)
               : mrd_fail(err, MRD_E_UNAVAILABLE, "HTTP %ld, %s: %s", http_status, type, text);
}

static void read_annotations(const json_t *answer, const char *key, enum mrd_annotation_kind kind,
                             struct mrd_arena *arena, struct mrd_promql_result *out)
{
    const json_t *list = json_object_get(answer, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        mrd_annotations_add(&out->annotations, kind, text_of(arena, json_array_get(list, i)));
    }
}

static enum mrd_status read_answer(long http_status, const json_t *answer, struct mrd_arena *arena,
                                   struct mrd_promql_result *out, struct mrd_error *err)
{
    read_annotations(answer, "warnings", MRD_ANNOTATION_WARNING, arena, out);
    read_annotations(answer, "infos", MRD_ANNOTATION_INFO, arena, out);
    const char *status = json_string_value(json_object_get(answer, "status"));
    if (http_status != 200 || status == NULL || strcmp(status, "success") != 0) {
        return read_error(http_status, answer, err);
    }
    return read_result(json_object_get(answer, "data"), arena, out, err);
}

enum mrd_status answer_read(long http_status, struct mrd_bytes body, struct mrd_arena *arena,
                            struct mrd_promql_result *out, struct mrd_error *err)
{
    *out = (struct mrd_promql_result){0};
    mrd_annotations_init(&out->annotations, arena, (struct mrd_bytes){0});
    json_error_t wrong;
    json_t *answer = json_loadb((const char *)body.data, body.size,
                                JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &wrong);
    if (answer == NULL) {
        return no_answer(err, wrong.text);
    }
    const enum mrd_status status = read_answer(http_status, answer, arena, out, err);
    json_decref(answer);
    return status;
}
