/* What distributors ask where a tenant comes near the limit of its active series: which of these series the head has, and how
 * many of the tenant. */
#include "ingester/questions_internal.h"

struct known_ask {
    struct ing_ask ask; /* first */
    struct mrd_bytes tenant;
    const mrd_series_id *ids;
    size_t id_count;
    struct mrd_head_pause pause;
    uint8_t bits[MRD_QUERY_IDS_MAX / 8];
    uint64_t total;
};

static enum mrd_status known_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    struct known_ask *ask = (struct known_ask *)base;
    return mrd_head_known(head, ask->tenant, ask->ids, ask->id_count, &ask->pause, ask->bits,
                          &ask->total, err);
}

enum mrd_status ing_question_known(struct ing_question *question, struct mrd_error *err)
{
    const struct mrd_query_request *request = &question->request;
    struct known_ask ask = {
        .ask = {.run = known_run, .look = ing_question_look(question), .reads = true},
        .pause = ing_question_pause(question),
        .tenant = request->tenant,
        .ids = request->ids,
        .id_count = request->id_count == 0 ? 0 : request->id_counts[question->at],
    };
    for (size_t i = 0; i < question->at && request->id_count > 0; i++) {
        ask.ids += request->id_counts[i];
    }
    MRD_TRY(ing_partition_ask(ing_question_partition(question), &ask.ask, err));
    question->trailer.total = ask.total;
    const struct mrd_bytes bits = {ask.bits, (ask.id_count + 7) / 8};
    return bits.size == 0 ? MRD_OK : ing_question_data(question, bits, err);
}
