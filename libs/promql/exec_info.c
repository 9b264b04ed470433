/* info(v, {...}): adds the labels of info series to those of v, which share `instance` and `job` with
 * them. Source: Prometheus 3.14, promql/info.go. */
#include "promql/exec.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* What identifies a target, sorted; and the key under which info series of one name are found. */
static const struct mrd_bytes identifying_items[] = {
    {(const uint8_t *)"instance", 8},
    {(const uint8_t *)"job",      3},
};
static const struct mrd_bytes key_items[] = {
    {(const uint8_t *)MRD_METRIC_NAME, sizeof(MRD_METRIC_NAME) - 1},
    {(const uint8_t *)"instance",      8                          },
    {(const uint8_t *)"job",           3                          },
};
static const struct mrd_names identifying = {identifying_items, MRD_ARRAY_LEN(identifying_items)};
static const struct mrd_names key_names = {key_items, MRD_ARRAY_LEN(key_items)};

enum {
    NOTHING = UINT32_MAX,
    PATTERN_BYTES_MAX = MRD_REGEX_SIZE_MAX / 2, /* of the values of one identifying label */
};

/* The info series of one name and target: at each step the one with the newest sample. */
struct source {
    uint32_t *series; /* index or NOTHING */
    mrd_time_ms *times_ms;
};

/* Why the query cannot be answered: the first step decides, and at that step the order in which
 * Prometheus meets them, which is that of these values. */
enum failure_kind { TWO_SOURCES, CONFLICT, TWO_RESULTS };

struct failure {
    const char *text; /* NULL: none */
    size_t step;
    enum failure_kind kind;
};

struct info_op {
    struct pql_list_op list;
    struct failure failure;
    const struct pql_node *node;
    const struct mrd_select *select;
    struct pql_op *input;
    struct pql_series_list base;
    bool *base_at;                 /* whether a step has anything to add labels to */
    struct pql_label_table values; /* {instance="..."} and {job="..."} of the base */
    bool identified[MRD_ARRAY_LEN(identifying_items)]; /* any base series has the label */

    struct mrd_labels *infos; /* of the info series */
    size_t info_count;
    size_t info_capacity;
    struct pql_label_table names; /* {__name__="..."} of the info series */
    struct pql_label_table keys;  /* name and target: the index of a source */
    struct source *sources;
    size_t source_capacity;
    mrd_time_ms *column_ms; /* of the info series being read; INT64_MIN: nothing */

    struct pql_label_table results;
    struct pql_label_scratch scratch;
    struct pql_label_scratch added;
};

static bool is_name(const struct mrd_matcher *matcher)
{
    return mrd_bytes_equal(matcher->name, MRD_BYTES(MRD_METRIC_NAME));
}

/* An info series itself gets no labels. */
static bool is_info(const struct info_op *op, struct mrd_labels labels)
{
    const struct mrd_bytes name = pql_metric_name(labels);
    for (size_t i = 0; i < op->select->matcher_count; i++) {
        const struct mrd_matcher *matcher = &op->select->matchers[i];
        if (is_name(matcher) && !mrd_matcher_matches(matcher, name)) {
            return false;
        }
    }
    return true;
}

/* Notes a failure if it comes before the one that is known; of equals the first stays. */
static MRD_PRINTF(4, 5) enum mrd_status
    note_failure(struct info_op *op, const struct failure *failure, struct mrd_error *err,
                 const char *format, ...)
{
    const struct failure *known = &op->failure;
    char text[1024];
    va_list args;
    if (known->text != NULL && (known->step < failure->step ||
                                (known->step == failure->step && known->kind <= failure->kind))) {
        return MRD_OK;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    op->failure = *failure;
    op->failure.text = mrd_arena_printf(op->list.op.exec->arena, "%s", text);
    return op->failure.text == NULL ? mrd_arena_fail(op->list.op.exec->arena, err) : MRD_OK;
}

/* ---- which targets the base has ---- */

static struct mrd_labels one_label(const struct mrd_label *label)
{
    return (struct mrd_labels){label, 1};
}

static enum mrd_status note_base(struct info_op *op, const struct pql_series *series,
                                 struct mrd_error *err)
{
    for (size_t i = 0; i < op->list.op.steps; i++) {
        op->base_at[i] |= pql_series_has(series, i);
    }
    if (is_info(op, series->labels)) {
        return MRD_OK;
    }
    for (size_t i = 0; i < identifying.count; i++) {
        const struct mrd_bytes name = identifying.items[i];
        const struct mrd_label label = {name, mrd_labels_get(series->labels, name)};
        uint32_t index = 0;
        bool is_new = false;
        if (label.value.size > 0) {
            op->identified[i] = true;
            MRD_TRY(pql_label_table_add(&op->values, one_label(&label), &index, &is_new, err));
        }
    }
    return MRD_OK;
}

/* Only info series whose labels some base series has, each by itself. */
static bool is_wanted(const struct info_op *op, struct mrd_labels labels)
{
    bool any = false;
    for (size_t i = 0; i < identifying.count; i++) {
        const struct mrd_bytes name = identifying.items[i];
        const struct mrd_label label = {name, mrd_labels_get(labels, name)};
        any |= op->identified[i];
        if (op->identified[i] &&
            (label.value.size == 0 ||
             pql_label_table_find(&op->values, one_label(&label)) == NOTHING)) {
            return false;
        }
    }
    return any;
}

/* ---- which info series to ask for ---- */

/* A value as a regular expression that matches nothing else. */
static void append_quoted(struct mrd_bytes value, struct mrd_buf *out)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] != 0 && strchr("\\.+*?()|[]{}^$", value.data[i]) != NULL) {
            mrd_buf_append_u8(out, '\\');
        }
        mrd_buf_append_u8(out, value.data[i]);
    }
}

/* "a|b|c" of all values that base series have for a label. */
static void append_alternatives(const struct info_op *op, struct mrd_bytes name,
                                struct mrd_buf *out)
{
    bool first = true;
    for (size_t i = 0; i < op->values.count; i++) {
        const struct mrd_label *label = &op->values.keys[i].items[0];
        if (mrd_bytes_equal(label->name, name)) {
            mrd_buf_append_text(out, first ? "" : "|");
            append_quoted(label->value, out);
            first = false;
        }
    }
}

static void matcher_drop(void *subject) { mrd_matcher_fini(subject); }

/* What is_wanted() will look at, for the source: the values if they are few, else that there is one. */
static enum mrd_status add_matcher(struct info_op *op, struct mrd_bytes name,
                                   struct mrd_matcher *out, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf pattern;
    mrd_buf_init(&pattern, PATTERN_BYTES_MAX);
    append_alternatives(op, name, &pattern);
    if (pattern.failed) {
        return mrd_matcher_init(out, MRD_MATCH_NE, name, MRD_BYTES_NONE, err);
    }
    const struct mrd_bytes text = mrd_arena_copy(exec->arena, mrd_buf_view(&pattern));
    if (text.data == NULL) {
        return mrd_arena_fail(exec->arena, err);
    }
    MRD_TRY(mrd_matcher_init(out, MRD_MATCH_RE, name, text, err));
    const enum mrd_status status = pql_defer(exec, matcher_drop, out, err);
    if (status != MRD_OK) {
        mrd_matcher_fini(out);
    }
    return status;
}

/* Opens the selector of info series with what is known of the base by now. Leaves it closed if no series could be
 * wanted. */
static enum mrd_status open_infos(struct info_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    struct pql_selector *selector = op->node->args[1]->selector;
    struct mrd_select *select = NULL; /* it and its matchers outlive the set */
    struct mrd_matcher *matchers = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &select, err));
    MRD_TRY(PQL_NEW(exec, op->select->matcher_count + identifying.count, &matchers, err));
    *select = *op->select;
    memcpy(matchers, select->matchers, select->matcher_count * sizeof(*matchers));
    for (size_t i = 0; i < identifying.count; i++) {
        if (op->identified[i]) {
            MRD_TRY(add_matcher(op, identifying.items[i], &matchers[select->matcher_count++], err));
        }
    }
    if (select->matcher_count == op->select->matcher_count) {
        return MRD_OK;
    }
    select->matchers = matchers;
    const struct mrd_query_scope scope = {exec->arena, exec->annotations, exec->control};
    return exec->source->open(exec->source->context, select, &scope, &selector->set, err);
}

/* ---- reading info series ---- */

/* When the sample that an instant selector would find was taken. False if there is none at any step. */
static bool find_times(const struct info_op *op, struct mrd_samples samples)
{
    const mrd_time_ms lookback_ms = op->list.op.exec->options->lookback_ms;
    const struct pql_timing *timing = &op->node->args[1]->selector->timing;
    size_t seen = 0;
    bool any = false;
    for (size_t i = 0; i < op->list.op.steps; i++) {
        const mrd_time_ms end_ms = pql_timing_end_ms(timing, pql_step_ms(&op->node->steps, i));
        while (seen < samples.count && samples.times_ms[seen] <= end_ms) {
            seen++;
        }
        const bool found = seen > 0 && samples.times_ms[seen - 1] > end_ms - lookback_ms &&
                           !mrd_is_stale(samples.values[seen - 1]);
        op->column_ms[i] = found ? samples.times_ms[seen - 1] : INT64_MIN;
        any |= found;
    }
    return any;
}

/* An info series is one of floats: a native histogram that a selector would find is an error, at any step. */
static enum mrd_status refuse_histograms(struct info_op *op, struct mrd_labels labels,
                                         const struct mrd_histograms *found, struct mrd_error *err)
{
    const mrd_time_ms lookback_ms = op->list.op.exec->options->lookback_ms;
    const struct pql_timing *timing = &op->node->args[1]->selector->timing;
    size_t seen = 0;
    for (size_t i = 0; i < op->list.op.steps; i++) {
        const mrd_time_ms end_ms = pql_timing_end_ms(timing, pql_step_ms(&op->node->steps, i));
        while (seen < found->count && found->times_ms[seen] <= end_ms) {
            seen++;
        }
        if (seen == 0 || found->times_ms[seen - 1] <= end_ms - lookback_ms ||
            found->times_ms[seen - 1] < op->column_ms[i]) {
            continue;
        }
        op->column_ms[i] = INT64_MIN; /* older than the histogram */
        if (!mrd_histogram_is_stale(&found->items[seen - 1])) {
            return pql_fail(err, "this should be an info metric, with float samples: %.*s",
                            MRD_FMT(pql_labels_text(op->list.op.exec, labels)));
        }
    }
    return MRD_OK;
}

static enum mrd_status source_add(struct info_op *op, uint32_t index, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    MRD_TRY(pql_grow(exec, (void **)&op->sources, index, &op->source_capacity, sizeof(*op->sources),
                     err));
    struct source *source = &op->sources[index];
    MRD_TRY(pql_hold(exec, steps, err));
    MRD_TRY(PQL_NEW(exec, steps, &source->series, err));
    MRD_TRY(PQL_NEW(exec, steps, &source->times_ms, err));
    for (size_t i = 0; i < steps; i++) {
        source->series[i] = NOTHING;
        source->times_ms[i] = INT64_MIN;
    }
    return MRD_OK;
}

/* The newer sample wins; where nothing is to be told apart, two of the same time do not matter. */
static enum mrd_status source_put(struct info_op *op, struct source *source, uint32_t series,
                                  struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    for (size_t i = 0; i < op->list.op.steps; i++) {
        const mrd_time_ms time_ms = op->column_ms[i];
        if (time_ms == INT64_MIN || !op->base_at[i]) {
            continue;
        }
        if (source->series[i] != NOTHING && source->times_ms[i] == time_ms) {
            const struct failure failure = {.step = i, .kind = TWO_SOURCES};
            return note_failure(op, &failure, err,
                                "found duplicate series for info metric: existing %.*s @ %" PRId64
                                ", new %.*s @ %" PRId64,
                                MRD_FMT(pql_labels_text(exec, op->infos[source->series[i]])),
                                time_ms, MRD_FMT(pql_labels_text(exec, op->infos[series])),
                                time_ms);
        }
        if (source->series[i] == NOTHING || source->times_ms[i] < time_ms) {
            source->series[i] = series;
            source->times_ms[i] = time_ms;
        }
    }
    return MRD_OK;
}

static enum mrd_status info_add(struct info_op *op, struct mrd_labels labels, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const struct mrd_label name = {MRD_BYTES(MRD_METRIC_NAME), pql_metric_name(labels)};
    struct mrd_labels key;
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(pql_label_table_add(&op->names, one_label(&name), &index, &is_new, err));
    MRD_TRY(pql_labels_filter(exec, &op->scratch, labels, key_names, true, &key, err));
    MRD_TRY(pql_label_table_add(&op->keys, key, &index, &is_new, err));
    if (is_new) {
        MRD_TRY(source_add(op, index, err));
    }
    MRD_TRY(pql_grow(exec, (void **)&op->infos, op->info_count, &op->info_capacity,
                     sizeof(*op->infos), err));
    MRD_TRY(pql_labels_copy(exec, labels, &op->infos[op->info_count], err));
    return source_put(op, &op->sources[index], (uint32_t)op->info_count++, err);
}

/* Steps at which the info series being read is seen: each counts as a sample that the query holds. */
static size_t points_seen(const struct info_op *op)
{
    size_t points = 0;
    for (size_t i = 0; i < op->list.op.steps; i++) {
        points += op->column_ms[i] != INT64_MIN;
    }
    return points;
}

static enum mrd_status read_infos(struct info_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    MRD_TRY(open_infos(op, err));
    while (op->node->args[1]->selector->set != NULL) {
        struct mrd_source_series series;
        bool more = false;
        MRD_TRY(mrd_query_check(exec->control, err));
        MRD_TRY(exec->source->next(op->node->args[1]->selector->set, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        pql_count_read(exec, 1, series.samples.count);
        if (!is_wanted(op, series.labels)) {
            continue;
        }
        const bool any = find_times(op, series.samples);
        if (series.histograms.count > 0) {
            MRD_TRY(refuse_histograms(op, series.labels, &series.histograms, err));
        }
        if (any) {
            MRD_TRY(pql_hold(exec, points_seen(op), err));
            MRD_TRY(info_add(op, series.labels, err));
        }
    }
    return MRD_OK;
}

/* ---- adding labels ---- */

/* The sources that a base series may take labels from: one of each name at most. */
static enum mrd_status find_sources(struct info_op *op, struct mrd_labels labels, uint32_t **out,
                                    size_t *out_count, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    *out_count = 0;
    MRD_TRY(PQL_NEW(exec, op->names.count, out, err));
    for (size_t i = 0; i < op->names.count; i++) {
        struct mrd_labels key;
        MRD_TRY(pql_labels_filter(exec, &op->scratch, labels, identifying, true, &key, err));
        MRD_TRY(pql_labels_set(exec, &op->scratch, key, op->names.keys[i].items[0], &key, err));
        const uint32_t index = pql_label_table_find(&op->keys, key);
        if (index != NOTHING) {
            (*out)[(*out_count)++] = index;
        }
    }
    return MRD_OK;
}

/* True if the label is among those asked for, or none is asked for. */
static bool is_asked_for(const struct info_op *op, struct mrd_bytes name)
{
    bool any = false;
    for (size_t i = 0; i < op->select->matcher_count; i++) {
        const struct mrd_matcher *matcher = &op->select->matchers[i];
        if (!is_name(matcher)) {
            any = true;
            if (mrd_bytes_equal(matcher->name, name)) {
                return true;
            }
        }
    }
    return !any;
}

/* False if a matcher asks for a label, so that a series without info series falls out. */
static bool may_be_missing(const struct info_op *op)
{
    for (size_t i = 0; i < op->select->matcher_count; i++) {
        const struct mrd_matcher *matcher = &op->select->matchers[i];
        if (!is_name(matcher) && !mrd_matcher_matches(matcher, MRD_BYTES(""))) {
            return false;
        }
    }
    return true;
}

/* *out_conflict is the name of a label that the info series do not agree on. */
static enum mrd_status add_info_labels(struct info_op *op, struct mrd_labels base,
                                       struct mrd_labels info, struct mrd_labels *added,
                                       struct mrd_bytes *out_conflict, struct mrd_error *err)
{
    for (size_t i = 0; i < info.count; i++) {
        const struct mrd_label *label = &info.items[i];
        if (mrd_bytes_equal(label->name, MRD_BYTES(MRD_METRIC_NAME)) ||
            !is_asked_for(op, label->name)) {
            continue;
        }
        const struct mrd_bytes other = mrd_labels_get(*added, label->name);
        if (other.size > 0 && !mrd_bytes_equal(other, label->value)) {
            *out_conflict = label->name;
            return MRD_OK;
        }
        if (mrd_labels_get(base, label->name).size == 0) {
            MRD_TRY(pql_labels_set(op->list.op.exec, &op->added, *added, *label, added, err));
        }
    }
    return MRD_OK;
}

/* The labels of the base series with those of the picked info series. */
static enum mrd_status join_labels(struct info_op *op, struct mrd_labels base,
                                   const uint32_t *picked, size_t count, struct mrd_labels *out,
                                   struct mrd_bytes *out_conflict, struct mrd_error *err)
{
    struct mrd_labels added = {NULL, 0};
    *out_conflict = MRD_BYTES_NONE;
    for (size_t i = 0; i < count && out_conflict->size == 0; i++) {
        if (picked[i] != NOTHING) {
            MRD_TRY(add_info_labels(op, base, op->infos[picked[i]], &added, out_conflict, err));
        }
    }
    *out = base;
    for (size_t i = 0; i < added.count; i++) {
        MRD_TRY(pql_labels_set(op->list.op.exec, &op->scratch, *out, added.items[i], out, err));
    }
    return MRD_OK;
}

static enum mrd_status find_result(struct info_op *op, struct mrd_labels labels, bool drop_name,
                                   size_t *out, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(pql_label_table_add(&op->results, labels, &index, &is_new, err));
    if (is_new) {
        struct pql_series result = {.labels = op->results.keys[index], .drop_name = drop_name};
        MRD_TRY(PQL_NEW(exec, op->list.op.steps, &result.values, err));
        pql_column_clear(result.values, op->list.op.steps);
        MRD_TRY(pql_series_list_add(exec, &op->list.list, result, err));
    }
    *out = index;
    return MRD_OK;
}

static enum mrd_status put_result(struct info_op *op, size_t index, size_t step,
                                  const struct pql_series *base, struct mrd_error *err)
{
    struct pql_series *result = &op->list.list.items[index];
    if (pql_series_has(result, step)) {
        const struct failure failure = {.step = step, .kind = TWO_RESULTS};
        return note_failure(op, &failure, err,
                            "vector cannot contain metrics with the same labelset");
    }
    MRD_TRY(pql_hold(op->list.op.exec, 1, err));
    result->values[step] = base->values[step];
    if (base->histograms != NULL && base->histograms[step] != NULL) {
        if (result->histograms == NULL) {
            MRD_TRY(pql_histograms_create(op->list.op.exec, op->list.op.steps, &result->histograms,
                                          err));
        }
        result->histograms[step] = base->histograms[step]; /* the collected base's */
    }
    return MRD_OK;
}

/* What is picked at a step. Returns whether it differs from what was before, and whether there is any. */
static bool pick(const struct info_op *op, const uint32_t *sources, size_t count, size_t step,
                 uint32_t *picked, bool *out_any)
{
    bool changed = false;
    *out_any = false;
    for (size_t i = 0; i < count; i++) {
        const uint32_t series = op->sources[sources[i]].series[step];
        changed |= series != picked[i];
        *out_any |= series != NOTHING;
        picked[i] = series;
    }
    return changed;
}

static enum mrd_status enrich(struct info_op *op, const struct pql_series *base,
                              struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const bool missing_allowed = is_info(op, base->labels) || may_be_missing(op);
    uint32_t *sources = NULL;
    uint32_t *picked = NULL;
    size_t count = 0;
    size_t result = SIZE_MAX;
    if (!is_info(op, base->labels)) {
        MRD_TRY(find_sources(op, base->labels, &sources, &count, err));
    }
    MRD_TRY(PQL_NEW(exec, count, &picked, err));
    for (size_t i = 0; i < op->list.op.steps; i++) {
        bool any = false;
        if (!pql_series_has(base, i)) {
            continue;
        }
        const bool changed = pick(op, sources, count, i, picked, &any);
        if (!any && !missing_allowed) {
            continue;
        }
        if (changed || result == SIZE_MAX) {
            struct mrd_labels labels;
            struct mrd_bytes conflict;
            MRD_TRY(join_labels(op, base->labels, picked, count, &labels, &conflict, err));
            if (conflict.size > 0) {
                const struct failure failure = {.step = i, .kind = CONFLICT};
                return note_failure(op, &failure, err, "conflicting label: %.*s",
                                    MRD_FMT(conflict));
            }
            MRD_TRY(find_result(op, labels, base->drop_name, &result, err));
        }
        MRD_TRY(put_result(op, result, i, base, err));
    }
    return MRD_OK;
}

static enum mrd_status info_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct info_op *op = (struct info_op *)base;
    MRD_TRY(pql_collect(op->input, &op->base, err));
    for (size_t i = 0; i < op->base.count; i++) {
        MRD_TRY(note_base(op, &op->base.items[i], err));
    }
    MRD_TRY(read_infos(op, err));
    for (size_t i = 0; i < op->base.count; i++) {
        MRD_TRY(mrd_query_check(base->op.exec->control, err));
        MRD_TRY(enrich(op, &op->base.items[i], err));
    }
    return op->failure.text == NULL ? MRD_OK : pql_fail(err, "%s", op->failure.text);
}

enum mrd_status pql_build_info(struct pql_exec *exec, const struct pql_node *node,
                               struct pql_op **out, struct mrd_error *err)
{
    struct info_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct info_op){
        .node = node,
        .select = &node->args[1]->selector->select,
        .values = {.exec = exec},
        .names = {.exec = exec},
        .keys = {.exec = exec},
        .results = {.exec = exec},
    };
    pql_list_op_init(&op->list, exec, steps, info_fill);
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    op->list.op.one_name = false; /* added labels may make two alike but for the name */
    MRD_TRY(PQL_NEW(exec, steps, &op->base_at, err));
    memset(op->base_at, 0, steps * sizeof(*op->base_at));
    MRD_TRY(PQL_NEW(exec, steps, &op->column_ms, err));
    *out = &op->list.op;
    return MRD_OK;
}
