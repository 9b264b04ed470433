#include "promqltest/script.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "promqltest/script_histogram.h"
#include "promqltest/script_nhcb.h"
#include "promqltest/script_target.h"
#include "promqltest/script_text.h"

enum { QUERY_BYTES_MAX = 256 * 1024 * 1024, EXPECTATIONS_MAX = 256 };

enum annotation_rule { RULE_WARN, RULE_NO_WARN, RULE_INFO, RULE_NO_INFO };

struct annotation_expectation {
    enum annotation_rule rule;
    bool is_regex;
    struct mrd_bytes text; /* empty: any */
};

struct expected_series {
    struct mrd_labels labels;
    struct script_value *values;
    size_t count;
};

struct eval {
    size_t line;
    bool instant;
    mrd_time_ms start_ms;
    mrd_time_ms end_ms;
    mrd_time_ms step_ms;
    struct mrd_bytes query;

    bool ordered;
    bool fail;
    bool unsupported;
    bool fail_is_regex;
    struct mrd_bytes fail_text;
    struct annotation_expectation annotations[EXPECTATIONS_MAX];
    size_t annotation_count;
    bool is_string;
    struct mrd_bytes string;
    bool is_scalar;
    double scalar;
    bool range_vector; /* results of an instant query are on a grid of their own */
    mrd_time_ms grid_start_ms;
    mrd_time_ms grid_step_ms;
    struct expected_series *series;
    size_t series_count;
    size_t series_capacity;
};

struct script {
    const char *name;
    struct mrd_bytes rest;
    size_t line_number;
    struct script_target *target;
    struct mrd_arena *arena; /* of the current command */
    struct mrd_promql_options options;
    struct mrd_script_report *report; /* or: */
    struct mrd_buf *print;
};

static void script_fini(struct script *script) { mrd_arena_destroy(&script->arena); }

static void script_init(struct script *script, struct script_target *target, const char *name,
                        struct mrd_bytes text)
{
    *script = (struct script){
        .name = name,
        .rest = text,
        .target = target,
        .arena = mrd_arena_create("script", SIZE_MAX),
        .options = {.samples_max = 50000000,
                    .use_start_timestamps = true,
                    .features = {.experimental_functions = true,
                                 .extended_range_selectors = true,
                                 .binop_fill_modifiers = true}},
    };
}

static bool next_line(struct script *script, struct mrd_bytes *out)
{
    script->line_number++;
    return script_take_line(&script->rest, out);
}

static bool ends_command(struct mrd_bytes line) { return line.size == 0 || line.data[0] == '#'; }

static enum mrd_status script_fail(const struct script *script, struct mrd_error *err)
{
    return mrd_fail_prefix(err, MRD_E_INVALID, "%s:%zu", script->name, script->line_number);
}

/* ---- load ---- */

/* Start times of the next series of a load: since when each of its values counts, seen from the value's time. */
struct starts {
    bool pending;
    struct mrd_labels labels;
    struct script_value *values;
    size_t count;
};

/* Takes in "<series>@st <times>"; *out_found is false if that is not what the line is. */
static enum mrd_status take_starts(struct script *script, struct mrd_bytes line,
                                   struct starts *starts, bool *out_found, struct mrd_error *err)
{
    struct mrd_bytes rest = line;
    const struct mrd_bytes series = script_take_word(&rest);
    static const char suffix[] = "@st";
    const size_t size = sizeof(suffix) - 1;
    *out_found = series.size > size && memcmp(series.data + series.size - size, suffix, size) == 0;
    if (!*out_found) {
        return MRD_OK;
    }
    if (starts->pending) {
        return mrd_fail(err, MRD_E_INVALID, "the values must follow the start times before them");
    }
    struct mrd_bytes name = {series.data, series.size - size};
    starts->pending = true;
    MRD_TRY(script_take_series(&name, script->arena, &starts->labels, err));
    return script_parse_times(rest, script->arena, &starts->values, &starts->count, err);
}

/* Gives the values of a series the start times that stood before them. */
static enum mrd_status join_starts(const struct starts *starts, struct mrd_labels labels,
                                   struct script_value *values, size_t count, mrd_time_ms step_ms,
                                   struct mrd_error *err)
{
    if (!mrd_labels_equal(labels, starts->labels) || count != starts->count) {
        return mrd_fail(err, MRD_E_INVALID,
                        "the start times are of another series, or %zu for %zu values",
                        starts->count, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (!starts->values[i].omitted) {
            values[i].start_ms = (mrd_time_ms)i * step_ms + (mrd_time_ms)starts->values[i].value;
        }
    }
    return MRD_OK;
}

/* Classic histograms go to `nhcb` too, if it is not NULL. */
static enum mrd_status load_series(struct script *script, struct mrd_bytes line,
                                   mrd_time_ms step_ms, struct starts *starts,
                                   struct script_nhcb *nhcb, struct mrd_error *err)
{
    struct mrd_labels labels;
    struct script_value *values = NULL;
    size_t count = 0;
    MRD_TRY(script_take_series(&line, script->arena, &labels, err));
    MRD_TRY(script_parse_values(line, script->arena, &values, &count, err));
    if (starts->pending) {
        starts->pending = false;
        MRD_TRY(join_starts(starts, labels, values, count, step_ms, err));
    }
    MRD_TRY(script->target->put(script->target->context, labels, values, count, step_ms, err));
    return nhcb == NULL ? MRD_OK : script_nhcb_add(nhcb, labels, values, count, err);
}

static enum mrd_status run_load(struct script *script, struct mrd_bytes step, bool with_nhcb,
                                struct mrd_error *err)
{
    struct script_nhcb nhcb = {.arena = script->arena};
    struct starts starts = {0};
    mrd_time_ms step_ms = 0;
    struct mrd_bytes line;
    MRD_TRY(script_parse_time(step, &step_ms, err));
    while (next_line(script, &line) && !ends_command(line)) {
        bool is_starts = false;
        MRD_TRY(take_starts(script, line, &starts, &is_starts, err));
        if (!is_starts) {
            MRD_TRY(load_series(script, line, step_ms, &starts, with_nhcb ? &nhcb : NULL, err));
        }
    }
    if (starts.pending) {
        return mrd_fail(err, MRD_E_INVALID, "no values follow the start times");
    }
    return with_nhcb ? script_nhcb_load(&nhcb, script->target, step_ms, err) : MRD_OK;
}

/* ---- reading an eval ---- */

static enum mrd_status take_time(struct mrd_bytes *text, mrd_time_ms *out, struct mrd_error *err)
{
    return script_parse_time(script_take_word(text), out, err);
}

static enum mrd_status read_eval_head(struct mrd_bytes line, struct eval *eval,
                                      struct mrd_error *err)
{
    if (script_take_prefix(&line, "instant")) {
        eval->instant = true;
        if (script_take_prefix(&line, "at")) {
            MRD_TRY(take_time(&line, &eval->start_ms, err));
        }
        eval->end_ms = eval->start_ms;
    } else if (script_take_prefix(&line, "range")) {
        if (!script_take_prefix(&line, "from")) {
            return mrd_fail(err, MRD_E_INVALID, "eval range needs \"from\"");
        }
        MRD_TRY(take_time(&line, &eval->start_ms, err));
        if (!script_take_prefix(&line, "to")) {
            return mrd_fail(err, MRD_E_INVALID, "eval range needs \"to\"");
        }
        MRD_TRY(take_time(&line, &eval->end_ms, err));
        if (!script_take_prefix(&line, "step")) {
            return mrd_fail(err, MRD_E_INVALID, "eval range needs \"step\"");
        }
        MRD_TRY(take_time(&line, &eval->step_ms, err));
    } else {
        return mrd_fail(err, MRD_E_INVALID, "eval needs \"instant\" or \"range\"");
    }
    eval->query = line;
    return MRD_OK;
}

/* "msg:TEXT" or "regex:RE" behind an expectation. */
static void read_text(struct mrd_bytes line, struct mrd_bytes *out, bool *out_is_regex)
{
    *out_is_regex = script_take_prefix(&line, "regex:");
    if (!*out_is_regex) {
        script_take_prefix(&line, "msg:");
    }
    *out = line;
}

static enum mrd_status read_grid(struct mrd_bytes line, struct eval *eval, struct mrd_error *err)
{
    mrd_time_ms end_ms = 0;
    eval->range_vector = true;
    if (!script_take_prefix(&line, "from")) {
        return mrd_fail(err, MRD_E_INVALID, "expect range vector needs \"from\"");
    }
    MRD_TRY(take_time(&line, &eval->grid_start_ms, err));
    if (!script_take_prefix(&line, "to")) {
        return mrd_fail(err, MRD_E_INVALID, "expect range vector needs \"to\"");
    }
    MRD_TRY(take_time(&line, &end_ms, err));
    if (!script_take_prefix(&line, "step")) {
        return mrd_fail(err, MRD_E_INVALID, "expect range vector needs \"step\"");
    }
    return take_time(&line, &eval->grid_step_ms, err);
}

static enum mrd_status read_annotation(struct mrd_bytes line, enum annotation_rule rule,
                                       struct eval *eval, struct mrd_error *err)
{
    if (eval->annotation_count == EXPECTATIONS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "too many expectations");
    }
    struct annotation_expectation *added = &eval->annotations[eval->annotation_count++];
    added->rule = rule;
    read_text(line, &added->text, &added->is_regex);
    return MRD_OK;
}

static enum mrd_status read_expect(struct mrd_bytes line, struct eval *eval, struct mrd_error *err)
{
    if (script_take_prefix(&line, "ordered")) {
        eval->ordered = true;
        return MRD_OK;
    }
    if (script_take_prefix(&line, "unsupported")) {
        eval->unsupported = true;
        return MRD_OK;
    }
    if (script_take_prefix(&line, "fail")) {
        eval->fail = true;
        read_text(line, &eval->fail_text, &eval->fail_is_regex);
        return MRD_OK;
    }
    if (script_take_prefix(&line, "range vector")) {
        return read_grid(line, eval, err);
    }
    if (script_take_prefix(&line, "string") && line.size >= 2) {
        eval->is_string = true;
        eval->string = (struct mrd_bytes){line.data + 1, line.size - 2};
        return MRD_OK;
    }
    static const struct {
        const char *word;
        enum annotation_rule rule;
    } rules[] = {
        {"warn",    RULE_WARN   },
        {"no_warn", RULE_NO_WARN},
        {"info",    RULE_INFO   },
        {"no_info", RULE_NO_INFO},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(rules); i++) {
        if (script_take_prefix(&line, rules[i].word)) {
            return read_annotation(line, rules[i].rule, eval, err);
        }
    }
    return mrd_fail(err, MRD_E_INVALID, "unknown expectation \"%.*s\"", MRD_FMT(line));
}

static enum mrd_status read_result(struct script *script, struct mrd_bytes line, struct eval *eval,
                                   struct mrd_error *err)
{
    struct script_value *numbers = NULL;
    size_t number_count = 0;
    if (script_parse_values(line, script->arena, &numbers, &number_count, NULL) == MRD_OK &&
        number_count == 1 && numbers[0].histogram == NULL) {
        eval->is_scalar = true;
        eval->scalar = numbers[0].value;
        return MRD_OK;
    }
    struct expected_series series = {0};
    MRD_TRY(script_take_series(&line, script->arena, &series.labels, err));
    MRD_TRY(script_parse_values(line, script->arena, &series.values, &series.count, err));
    if (eval->series_count == eval->series_capacity) {
        const size_t capacity = eval->series_capacity == 0 ? 16 : eval->series_capacity * 2;
        struct expected_series *grown = mrd_arena_alloc(script->arena, capacity * sizeof(*grown));
        mrd_assert(grown != NULL);
        for (size_t i = 0; i < eval->series_count; i++) {
            grown[i] = eval->series[i];
        }
        eval->series = grown;
        eval->series_capacity = capacity;
    }
    eval->series[eval->series_count++] = series;
    return MRD_OK;
}

static enum mrd_status read_eval(struct script *script, struct mrd_bytes line, struct eval *eval,
                                 struct mrd_error *err)
{
    *eval = (struct eval){.line = script->line_number};
    MRD_TRY(read_eval_head(line, eval, err));
    while (next_line(script, &line) && !ends_command(line)) {
        if (script_take_prefix(&line, "expect")) {
            MRD_TRY(read_expect(line, eval, err));
        } else {
            MRD_TRY(read_result(script, line, eval, err));
        }
    }
    return MRD_OK;
}

/* ---- comparing ---- */

static void report_line(const struct script *script, const struct eval *eval, const char *text)
{
    mrd_buf_printf(&script->report->text, "%s:%zu: %.*s: %s\n", script->name, eval->line,
                   MRD_FMT(eval->query), text);
}

/* " (line:col)", also behind the figures of a histogram that was not monotonic: what an annotation says of the
 * one case, and the engine leaves out where it does not know the query. */
static bool is_detail(struct mrd_bytes text)
{
    static const char figures[] = ", from buckets ";
    size_t at = text.size;
    if (at < 2 || text.data[--at] != ')') {
        return false;
    }
    while (at > 0 && (isdigit(text.data[at - 1]) || text.data[at - 1] == ':')) {
        at--;
    }
    if (at < 2 || text.data[at - 1] != '(' || text.data[at - 2] != ' ') {
        return false;
    }
    return at == 2 ||
           (text.size > sizeof(figures) && memcmp(text.data, figures, sizeof(figures) - 1) == 0);
}

/* A text that ends before the details stands for any. */
static bool text_matches(struct mrd_bytes want, bool is_regex, struct mrd_bytes got)
{
    if (want.size == 0) {
        return true;
    }
    if (!is_regex) {
        const struct mrd_bytes front = {got.data, MRD_MIN(want.size, got.size)};
        return mrd_bytes_equal(want, front) &&
               (want.size == got.size ||
                is_detail((struct mrd_bytes){got.data + want.size, got.size - want.size}));
    }
    struct mrd_regex *regex = NULL;
    char anywhere[1024];
    (void)snprintf(anywhere, sizeof(anywhere), ".*(?:%.*s).*", MRD_FMT(want));
    const bool compiled = mrd_regex_compile(mrd_bytes_of(anywhere), &regex, NULL) == MRD_OK;
    const bool matches = compiled && mrd_regex_matches(regex, got);
    mrd_regex_destroy(&regex);
    return matches;
}

static bool annotations_agree(const struct script *script, const struct eval *eval,
                              const struct mrd_promql_result *result, enum mrd_annotation_kind kind)
{
    const enum annotation_rule some = kind == MRD_ANNOTATION_WARNING ? RULE_WARN : RULE_INFO;
    const enum annotation_rule none = kind == MRD_ANNOTATION_WARNING ? RULE_NO_WARN : RULE_NO_INFO;
    bool wanted = false;
    bool ok = true;
    for (size_t i = 0; i < eval->annotation_count; i++) {
        const struct annotation_expectation *want = &eval->annotations[i];
        bool met = false;
        wanted |= want->rule == some;
        for (const struct mrd_annotation *got = result->annotations.first[kind]; got != NULL;
             got = got->next) {
            met |= want->rule == some && text_matches(want->text, want->is_regex, got->text);
            if (want->rule == none) {
                report_line(script, eval, "an annotation that is not expected:");
                mrd_buf_printf(&script->report->text, "    %.*s\n", MRD_FMT(got->text));
                ok = false;
            }
        }
        if (want->rule == some && !met) {
            report_line(script, eval, "an annotation is missing:");
            mrd_buf_printf(&script->report->text, "    %.*s\n", MRD_FMT(want->text));
            ok = false;
        }
    }
    for (const struct mrd_annotation *got = result->annotations.first[kind]; wanted && got != NULL;
         got = got->next) {
        bool known = false;
        for (size_t i = 0; i < eval->annotation_count; i++) {
            const struct annotation_expectation *want = &eval->annotations[i];
            known |= want->rule == some && text_matches(want->text, want->is_regex, got->text);
        }
        if (!known) {
            report_line(script, eval, "an annotation with another text:");
            mrd_buf_printf(&script->report->text, "    %.*s\n", MRD_FMT(got->text));
            ok = false;
        }
    }
    return ok;
}

static const struct mrd_promql_series *find_series(const struct mrd_promql_result *result,
                                                   struct mrd_labels labels)
{
    for (size_t i = 0; i < result->series_count; i++) {
        if (mrd_labels_equal(result->series[i].labels, labels)) {
            return &result->series[i];
        }
    }
    return NULL;
}

static const struct mrd_float_histogram *histogram_of(const struct mrd_promql_series *series,
                                                      size_t at)
{
    return series->histograms == NULL ? NULL : series->histograms[at];
}

/* A histogram of `want` is as answered. */
static bool point_agrees(const struct script *script, const struct script_value *want,
                         const struct mrd_promql_series *got, size_t at)
{
    const struct mrd_float_histogram *histogram = histogram_of(got, at);
    if (want->histogram == NULL || histogram == NULL) {
        return want->histogram == histogram && script_numbers_agree(want->value, got->values[at]);
    }
    return script->target->same(want->histogram, histogram, want->hint_set);
}

static struct script_value as_answered(const struct script *script, const struct script_value *want)
{
    struct script_value value = *want;
    if (want->histogram != NULL) {
        value.histogram = script->target->as_answered(want->histogram, script->arena);
    }
    return value;
}

/* The points of a series against the expected ones on a grid. */
static bool points_agree(const struct script *script, const struct expected_series *want,
                         const struct mrd_promql_series *got, mrd_time_ms start_ms,
                         mrd_time_ms step_ms)
{
    size_t at = 0;
    for (size_t i = 0; i < want->count; i++) {
        if (want->values[i].omitted) {
            continue;
        }
        const mrd_time_ms time_ms = start_ms + (mrd_time_ms)i * step_ms;
        const struct script_value value = as_answered(script, &want->values[i]);
        if (at == got->count || got->times_ms[at] != time_ms ||
            !point_agrees(script, &value, got, at)) {
            return false;
        }
        at++;
    }
    return at == got->count;
}

static void report_series(const struct script *script, struct mrd_labels labels,
                          const struct mrd_promql_series *got)
{
    struct mrd_buf *text = &script->report->text;
    mrd_buf_append_text(text, "    ");
    mrd_labels_format(labels, text);
    for (size_t i = 0; got != NULL && i < got->count; i++) {
        if (histogram_of(got, i) != NULL) {
            mrd_buf_append_text(text, " ");
            script_format_histogram(histogram_of(got, i), text);
            mrd_buf_printf(text, "@%" PRId64, got->times_ms[i]);
            continue;
        }
        mrd_buf_printf(text, " %.17g@%" PRId64, got->values[i], got->times_ms[i]);
    }
    mrd_buf_append_text(text, "\n");
}

static bool series_agree(const struct script *script, const struct eval *eval,
                         const struct mrd_promql_result *result)
{
    const mrd_time_ms start_ms = eval->range_vector ? eval->grid_start_ms : eval->start_ms;
    const mrd_time_ms step_ms = eval->range_vector ? eval->grid_step_ms : eval->step_ms;
    bool ok = true;
    for (size_t i = 0; i < eval->series_count; i++) {
        const struct expected_series *want = &eval->series[i];
        const struct mrd_promql_series *got = find_series(result, want->labels);
        if (got == NULL || !points_agree(script, want, got, start_ms, step_ms)) {
            report_line(script, eval, got == NULL ? "a series is missing:" : "got other values:");
            report_series(script, want->labels, got);
            ok = false;
        } else if (eval->ordered && got != &result->series[i]) {
            report_line(script, eval, "a series is at another place:");
            report_series(script, want->labels, got);
            ok = false;
        }
    }
    if (ok && result->series_count != eval->series_count) {
        report_line(script, eval, "got other series:");
        for (size_t i = 0; i < result->series_count; i++) {
            report_series(script, result->series[i].labels, &result->series[i]);
        }
        ok = false;
    }
    for (size_t i = 1; result->type == MRD_PROMQL_MATRIX && i < result->series_count; i++) {
        if (mrd_labels_compare(result->series[i - 1].labels, result->series[i].labels) >= 0) {
            report_line(script, eval, "the result is not sorted by labels");
            ok = false;
        }
    }
    return ok;
}

static bool result_agrees(const struct script *script, const struct eval *eval,
                          const struct mrd_promql_result *result)
{
    char got[128];
    if (eval->is_string) {
        const bool ok =
            result->type == MRD_PROMQL_STRING && mrd_bytes_equal(result->string, eval->string);
        if (!ok) {
            report_line(script, eval, "got another string");
        }
        return ok;
    }
    if (result->type == MRD_PROMQL_SCALAR || eval->is_scalar) {
        const bool ok = result->type == MRD_PROMQL_SCALAR && eval->is_scalar &&
                        script_numbers_agree(eval->scalar, result->scalar.value);
        if (!ok) {
            (void)snprintf(got, sizeof(got), "got scalar %.17g", result->scalar.value);
            report_line(script, eval, got);
        }
        return ok;
    }
    return series_agree(script, eval, result);
}

/* ---- evaluating ---- */

static enum mrd_status ask(struct script *script, const struct mrd_promql_request *request,
                           struct mrd_arena *arena, struct mrd_promql_result *out,
                           struct mrd_error *err)
{
    return script->target->ask(script->target->context, &script->options, request, arena, out, err);
}

static bool failure_agrees(const struct script *script, const struct eval *eval,
                           enum mrd_status status, const struct mrd_error *err)
{
    if (eval->unsupported) {
        if (status != MRD_E_UNSUPPORTED) {
            report_line(script, eval, "was to be unsupported");
        }
        return status == MRD_E_UNSUPPORTED;
    }
    if (!eval->fail) {
        report_line(script, eval, err->text);
        return false;
    }
    const bool ok = status == MRD_E_INVALID &&
                    text_matches(eval->fail_text, eval->fail_is_regex, mrd_bytes_of(err->text));
    if (!ok) {
        report_line(script, eval, "failed with another text:");
        mrd_buf_printf(&script->report->text, "    %s\n", err->text);
    }
    return ok;
}

static bool contains(struct mrd_bytes text, const char *word)
{
    return memmem(text.data, text.size, word, strlen(word)) != NULL;
}

/* The same query as a range around its time: the middle step must have the instant's values. */
static bool range_agrees(struct script *script, const struct eval *eval,
                         const struct mrd_promql_result *instant)
{
    const bool depends = contains(eval->query, "start()") || contains(eval->query, "end()") ||
                         contains(eval->query, "step()") || contains(eval->query, "range()");
    if (depends || (instant->type != MRD_PROMQL_VECTOR && instant->type != MRD_PROMQL_SCALAR)) {
        return true;
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", QUERY_BYTES_MAX);
    const struct mrd_promql_request request = {eval->query, eval->start_ms - 60000,
                                               eval->start_ms + 60000, 60000, false};
    struct mrd_promql_result result;
    struct mrd_error err;
    if (ask(script, &request, arena, &result, &err) != MRD_OK) {
        report_line(script, eval, "as a range it fails:");
        mrd_buf_printf(&script->report->text, "    %s\n", err.text);
        return false;
    }
    size_t found = 0;
    bool ok = true;
    for (size_t i = 0; i < result.series_count; i++) {
        const struct mrd_promql_series *got = &result.series[i];
        for (size_t p = 0; p < got->count; p++) {
            if (got->times_ms[p] != eval->start_ms) {
                continue;
            }
            found++;
            const struct mrd_promql_series *want = find_series(instant, got->labels);
            const struct mrd_float_histogram *histogram = histogram_of(got, p);
            const bool scalar = instant->type == MRD_PROMQL_SCALAR;
            const struct script_value value = {
                .value = scalar         ? instant->scalar.value
                         : want == NULL ? mrd_stale_nan()
                                        : want->values[0],
                .histogram = scalar || want == NULL ? NULL : histogram_of(want, 0),
            };
            ok &= (want != NULL || scalar) && (value.histogram == NULL) == (histogram == NULL) &&
                  point_agrees(script, &value, got, p);
        }
    }
    ok &= found == (instant->type == MRD_PROMQL_SCALAR ? 1 : instant->series_count);
    if (!ok) {
        report_line(script, eval, "as a range it gives something else");
    }
    return ok;
}

static bool eval_agrees(struct script *script, const struct eval *eval)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", QUERY_BYTES_MAX);
    const struct mrd_promql_request request = {eval->query, eval->start_ms, eval->end_ms,
                                               eval->step_ms, eval->instant};
    struct mrd_promql_result result;
    struct mrd_error err = {0};
    const enum mrd_status status = ask(script, &request, arena, &result, &err);
    if (status != MRD_OK) {
        return failure_agrees(script, eval, status, &err);
    }
    if (eval->fail || eval->unsupported) {
        report_line(script, eval, "was to fail");
        return false;
    }
    bool ok = result_agrees(script, eval, &result);
    ok &= annotations_agree(script, eval, &result, MRD_ANNOTATION_WARNING);
    ok &= annotations_agree(script, eval, &result, MRD_ANNOTATION_INFO);
    if (ok && eval->instant && !eval->ordered) {
        ok = range_agrees(script, eval, &result);
    }
    return ok;
}

/* ---- printing ---- */

static void print_value(struct mrd_buf *out, mrd_time_ms time_ms, double value)
{
    mrd_buf_printf(out, " %" PRId64 ":", time_ms);
    if (isnan(value)) {
        mrd_buf_append_text(out, "NaN");
    } else {
        mrd_buf_printf(out, "%016" PRIx64, mrd_double_bits(value));
    }
}

/* {__name__="m", a="b"}: the name in its place, unlike mrd_labels_format. */
static void print_labels(struct mrd_buf *out, struct mrd_labels labels)
{
    mrd_buf_append_text(out, "{");
    for (size_t i = 0; i < labels.count; i++) {
        struct mrd_label label = labels.items[i];
        const bool metric = mrd_bytes_equal(label.name, MRD_BYTES(MRD_METRIC_NAME));
        struct mrd_buf one = {0};
        label.name = metric ? MRD_BYTES("x") : label.name;
        mrd_labels_format((struct mrd_labels){&label, 1}, &one); /* {x="b"} */
        mrd_buf_append_text(out, i > 0 ? ", " : "");
        mrd_buf_append_text(out, metric ? MRD_METRIC_NAME : "");
        mrd_buf_append(out, one.data + (metric ? 2 : 1), one.size - (metric ? 3 : 2));
        mrd_buf_fini(&one);
    }
    mrd_buf_append_text(out, "}");
}

static void print_result(struct mrd_buf *out, const struct mrd_promql_result *result)
{
    switch (result->type) {
    case MRD_PROMQL_SCALAR:
        mrd_buf_append_text(out, "scalar");
        print_value(out, result->scalar.time_ms, result->scalar.value);
        mrd_buf_append_text(out, "\n");
        return;
    case MRD_PROMQL_STRING:
        mrd_buf_printf(out, "string \"%.*s\"\n", MRD_FMT(result->string));
        return;
    case MRD_PROMQL_VECTOR:
    case MRD_PROMQL_MATRIX:
        for (size_t i = 0; i < result->series_count; i++) {
            const struct mrd_promql_series *series = &result->series[i];
            print_labels(out, series->labels);
            for (size_t p = 0; p < series->count; p++) {
                if (histogram_of(series, p) != NULL) {
                    mrd_buf_printf(out, " %" PRId64 ":", series->times_ms[p]);
                    script_format_histogram(histogram_of(series, p), out);
                } else {
                    print_value(out, series->times_ms[p], series->values[p]);
                }
            }
            mrd_buf_append_text(out, "\n");
        }
        return;
    }
}

static void print_eval(struct script *script, const struct eval *eval, struct mrd_bytes line)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", QUERY_BYTES_MAX);
    const struct mrd_promql_request request = {eval->query, eval->start_ms, eval->end_ms,
                                               eval->step_ms, eval->instant};
    static const char *const words[] = {"warning", "info"};
    struct mrd_promql_result result;
    struct mrd_error err = {0};
    mrd_buf_printf(script->print, "## %.*s\n", MRD_FMT(line));
    if (ask(script, &request, arena, &result, &err) != MRD_OK) {
        mrd_buf_printf(script->print, "error %s\n", err.text);
    } else {
        print_result(script->print, &result);
    }
    for (size_t kind = 0; kind < MRD_ANNOTATION_KINDS; kind++) {
        for (const struct mrd_annotation *at = result.annotations.first[kind]; at != NULL;
             at = at->next) {
            mrd_buf_printf(script->print, "%s %.*s\n", words[kind], MRD_FMT(at->text));
        }
    }
}

/* ---- commands ---- */

static enum mrd_status run_eval(struct script *script, struct mrd_bytes whole,
                                struct mrd_bytes line, bool fail, struct mrd_error *err)
{
    struct eval eval;
    MRD_TRY(read_eval(script, line, &eval, err));
    eval.fail |= fail;
    if (script->print != NULL) {
        print_eval(script, &eval, whole);
        return MRD_OK;
    }
    script->report->evals++;
    if (!script->target->can(script->target->context, &script->options)) {
        script->report->skipped++;
        return MRD_OK;
    }
    script->report->failures += !eval_agrees(script, &eval);
    return MRD_OK;
}

static enum mrd_status run_option(struct script *script, struct mrd_bytes line,
                                  struct mrd_error *err)
{
    const struct mrd_bytes name = script_take_word(&line);
    const bool on = mrd_bytes_equal(line, MRD_BYTES("on"));
    if (mrd_bytes_equal(name, MRD_BYTES("delayed_name_removal"))) {
        script->options.delayed_name_removal = on;
        return MRD_OK;
    }
    if (mrd_bytes_equal(name, MRD_BYTES("type_and_unit_labels"))) {
        script->options.type_and_unit_labels = on;
        return MRD_OK;
    }
    if (mrd_bytes_equal(name, MRD_BYTES("use_start_timestamps"))) {
        script->options.use_start_timestamps = on;
        return MRD_OK;
    }
    return mrd_fail(err, MRD_E_INVALID, "unknown option \"%.*s\"", MRD_FMT(name));
}

static enum mrd_status run_command(struct script *script, struct mrd_bytes line,
                                   struct mrd_error *err)
{
    const struct mrd_bytes whole = line;
    mrd_arena_reset(script->arena);
    if (script_take_prefix(&line, "clear")) {
        return script->target->clear(script->target->context, err);
    }
    if (script_take_prefix(&line, "load")) {
        return run_load(script, line, false, err);
    }
    if (script_take_prefix(&line, "load_with_nhcb")) {
        return run_load(script, line, true, err);
    }
    if (script_take_prefix(&line, "eval")) {
        return run_eval(script, whole, line, false, err);
    }
    if (script_take_prefix(&line, "eval_fail")) {
        return run_eval(script, whole, line, true, err);
    }
    if (script_take_prefix(&line, "option")) {
        return run_option(script, line, err);
    }
    return mrd_fail(err, MRD_E_INVALID, "unknown command \"%.*s\"", MRD_FMT(line));
}

static enum mrd_status run_all(struct script *script, struct mrd_error *err)
{
    struct mrd_bytes line;
    while (next_line(script, &line)) {
        if (!ends_command(line) && run_command(script, line, err) != MRD_OK) {
            return script_fail(script, err);
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_script_run_on(struct script_target *target, const char *name,
                                  struct mrd_bytes text, bool delayed_name_removal,
                                  struct mrd_script_report *report, struct mrd_error *err)
{
    mrd_auto(script_fini)
    struct script script;
    script_init(&script, target, name, text);
    script.options.delayed_name_removal = delayed_name_removal;
    script.report = report;
    MRD_TRY(target->clear(target->context, err));
    return run_all(&script, err);
}

enum mrd_status mrd_script_run(const char *name, struct mrd_bytes text,
                               struct mrd_script_report *report, struct mrd_error *err)
{
    mrd_auto(script_memory_destroy)
    struct script_target *target = script_memory_create();
    return mrd_script_run_on(target, name, text, false, report, err);
}

enum mrd_status mrd_script_print(struct mrd_bytes text, bool delayed_name_removal,
                                 struct mrd_buf *out, struct mrd_error *err)
{
    mrd_auto(script_memory_destroy)
    struct script_target *target = script_memory_create();
    mrd_auto(script_fini)
    struct script script;
    script_init(&script, target, "script", text);
    script.options.delayed_name_removal = delayed_name_removal;
    script.print = out;
    return run_all(&script, err);
}
