#include <stdlib.h>

#include "ingester/questions_internal.h"

enum { LABELS_BYTES_MAX = 4 << 20 /* of one series, decoded */ };

struct list_ask {
    struct ing_ask ask; /* first */
    struct ing_question *question;
    struct mrd_buf texts; /* bounded by the request's memory */
    size_t count;
    uint64_t total;                         /* CARDINALITY: series */
    struct mrd_head_tenant_figures figures; /* likewise, if it is of the metric name */
};

static void emit_text(void *context, struct mrd_bytes text)
{
    struct list_ask *ask = context;
    mrd_query_text_write(&ask->texts, text);
    ask->count++;
}

static void emit_value_count(void *context, struct mrd_bytes text, uint64_t series, uint64_t values)
{
    struct list_ask *ask = context;
    const struct mrd_query_count count = {MRD_QUERY_COUNT_VALUES, text, series, values};
    mrd_query_count_write(&ask->texts, &count);
    ask->count++;
}

static void emit_name_count(void *context, struct mrd_bytes text, uint64_t series, uint64_t values)
{
    struct list_ask *ask = context;
    const struct mrd_query_count count = {MRD_QUERY_COUNT_NAMES, text, series, values};
    mrd_query_count_write(&ask->texts, &count);
    ask->count++;
}

static void emit_exemplar(void *context, struct mrd_bytes labels,
                          const struct mrd_exemplar *exemplar)
{
    struct list_ask *ask = context;
    const struct mrd_query_exemplar item = {labels, *exemplar};
    mrd_query_exemplar_write(&ask->texts, &item);
    ask->count++;
}

static void emit_family(void *context, const struct ing_family *family)
{
    struct list_ask *ask = context;
    const struct mrd_query_family item = {family->metadata, family->hlc, family->origin};
    mrd_query_family_write(&ask->texts, &item);
    ask->count++;
}

static enum mrd_status list_exemplars(struct list_ask *ask, struct mrd_error *err)
{
    const struct mrd_query_request *request = &ask->question->request;
    const struct mrd_head_pause pause = ing_question_pause(ask->question);
    const struct ing_exemplar_query query = {
        .look = {pause.run, pause.context},
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .time_min_ms = request->time_min_ms,
        .time_max_ms = request->time_max_ms,
    };
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("labels of one series", LABELS_BYTES_MAX);
    return ing_exemplars_select(ing_store_exemplars(ask->ask.store), &query, arena, emit_exemplar,
                                ask, err);
}

static enum mrd_status list_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    struct list_ask *ask = (struct list_ask *)base;
    const struct mrd_query_request *request = &ask->question->request;
    const struct mrd_head_query query = ing_question_head_query(ask->question);
    if (request->kind == MRD_QUERY_LABEL_NAMES) {
        MRD_TRY(mrd_head_label_names(head, &query, emit_text, ask, err));
    } else if (request->kind == MRD_QUERY_LABEL_VALUES) {
        MRD_TRY(mrd_head_label_values(head, &query, request->label, emit_text, ask, err));
    } else if (request->kind == MRD_QUERY_EXEMPLARS) {
        MRD_TRY(list_exemplars(ask, err));
    } else if (request->kind == MRD_QUERY_METADATA) {
        const struct mrd_look look = {query.pause.run, query.pause.context};
        MRD_TRY(ing_families_each(ing_store_families(ask->ask.store), request->tenant,
                                  request->label, &look, emit_family, ask, err));
    } else {
        const struct mrd_bytes label =
            request->label.size == 0 ? MRD_BYTES(MRD_METRIC_NAME) : request->label;
        MRD_TRY(mrd_head_count_by_value(head, request->tenant, label, &query.pause,
                                        emit_value_count, ask, err));
        MRD_TRY(
            mrd_head_count_by_name(head, request->tenant, &query.pause, emit_name_count, ask, err));
        MRD_TRY(mrd_head_tenant_series(head, request->tenant, &query.pause, &ask->total, err));
        if (mrd_bytes_equal(label, MRD_BYTES(MRD_METRIC_NAME))) {
            MRD_TRY(
                mrd_head_tenant_figures(head, request->tenant, &query.pause, &ask->figures, err));
        }
    }
    return ask->texts.failed ? mrd_fail(err, MRD_E_LIMIT,
                                        "the answer's list needs more than %zu bytes "
                                        "(ingester.request_memory_bytes_max)",
                                        ask->texts.limit)
                             : MRD_OK;
}

/* Reads over the next item of such an answer. */
static bool item_skip(enum mrd_query_kind kind, struct mrd_reader *reader)
{
    struct mrd_bytes text;
    struct mrd_query_exemplar exemplar;
    struct mrd_query_family family;
    struct mrd_query_count count;
    return kind == MRD_QUERY_EXEMPLARS     ? mrd_query_exemplar_read(reader, &exemplar)
           : kind == MRD_QUERY_METADATA    ? mrd_query_family_read(reader, &family)
           : kind == MRD_QUERY_CARDINALITY ? mrd_query_count_read(reader, &count)
                                           : mrd_query_text_read(reader, &text);
}

/* Whole items, as many at a time as a part takes. */
static enum mrd_status texts_send(struct ing_question *question, struct mrd_bytes texts,
                                  struct mrd_error *err)
{
    const size_t limit = ing_question_data_max(question);
    struct mrd_reader reader = mrd_reader_of(texts);
    const uint8_t *start = reader.at;
    for (;;) {
        const uint8_t *before = reader.at;
        const bool more = item_skip(question->request.kind, &reader);
        if (before > start && (!more || (size_t)(reader.at - start) > limit)) {
            MRD_TRY(ing_question_data(question, (struct mrd_bytes){start, (size_t)(before - start)},
                                      err));
            start = before;
        }
        if (!more) {
            return MRD_OK;
        }
    }
}

static int count_compare(const void *a, const void *b, void *context)
{
    (void)context;
    const struct mrd_query_count *x = a;
    const struct mrd_query_count *y = b;
    if (x->list != y->list) {
        return x->list < y->list ? -1 : 1;
    }
    if (x->series != y->series) {
        return x->series > y->series ? -1 : 1;
    }
    return mrd_bytes_compare(x->name, y->name);
}

static enum mrd_status counts_write(struct ing_question *question, struct mrd_query_count *counts,
                                    size_t count, const struct mrd_look *look,
                                    struct mrd_error *err)
{
    struct mrd_pace pace = {.look = look};
    const uint32_t limit = question->request.limit;
    uint32_t sent[MRD_QUERY_COUNT_NAMES + 1] = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf items = {0};
    for (size_t i = 0; i < count; i++) {
        if (limit == 0 || sent[counts[i].list]++ < limit) {
            mrd_query_count_write(&items, &counts[i]);
        }
        MRD_TRY(mrd_pace(&pace, 2, err));
    }
    return texts_send(question, mrd_buf_view(&items), err);
}

/* The greatest of each list first; `limit` of each. */
static enum mrd_status counts_send(struct ing_question *question, const struct list_ask *ask,
                                   struct mrd_error *err)
{
    struct mrd_query_count *counts = calloc(ask->count + 1, sizeof(*counts));
    mrd_assert(counts != NULL);
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&ask->texts));
    const struct mrd_look look = ing_question_look(question); /* the shard has answered */
    struct mrd_pace pace = {.look = &look};
    enum mrd_status status = MRD_OK;
    size_t count = 0;
    while (status == MRD_OK && count < ask->count &&
           mrd_query_count_read(&reader, &counts[count])) {
        count++;
        status = mrd_pace(&pace, 2, err);
    }
    if (status == MRD_OK) {
        status = mrd_sort(counts, count, sizeof(*counts), count_compare, NULL, &look, err);
    }
    if (status == MRD_OK) {
        status = counts_write(question, counts, count, &look, err);
    }
    free(counts);
    return status;
}

enum mrd_status ing_question_list(struct ing_question *question, struct mrd_error *err)
{
    struct list_ask ask = {
        .ask = {.run = list_run, .look = ing_question_look(question), .reads = true},
        .question = question
    };
    mrd_buf_init(&ask.texts, question->options->memory_bytes_max);
    enum mrd_status status = ing_partition_ask(ing_question_partition(question), &ask.ask, err);
    question->trailer.total = ask.total;
    question->trailer.head_chunks = ask.figures.chunks;
    question->trailer.time_min_ms = ask.figures.time_min_ms;
    question->trailer.time_max_ms = ask.figures.time_max_ms;
    if (status == MRD_OK) {
        status = question->request.kind == MRD_QUERY_CARDINALITY
                     ? counts_send(question, &ask, err)
                     : texts_send(question, mrd_buf_view(&ask.texts), err);
    }
    mrd_buf_fini(&ask.texts);
    return status;
}
