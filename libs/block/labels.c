/* Names of labels and their values, from the sidecar alone. */
#include <stdlib.h>

#include "block/block_internal.h"
#include "block/erased_internal.h"

/* What a visit of texts works on. */
struct visit {
    struct mbx_shared *part;
    const struct mbx_tenant *tenant; /* NULL: the block does not have it */
    struct mbx_numbers series;       /* those that match */
    bool all;                        /* every series does: `series` is not filled */
    uint8_t *marks;                  /* of the pairs or names that they have; NULL: not yet */
};

enum { VISIT_UNITS = 4 /* of a text, in those of mrd_pace */ };

static bool covers(const struct mbx_tenant *tenant, const struct mrd_block_select *select)
{
    return select->matcher_count == 0 && select->erasure_count == 0 &&
           select->min_ms <= tenant->counts.min_ms && select->max_ms >= tenant->counts.max_ms;
}

static enum mrd_status open_visit(struct mrd_block *block, const struct mrd_block_select *select,
                                  struct visit *out, struct mrd_error *err)
{
    MRD_TRY(mrd_objstore_check(block->control, err));
    MRD_TRY(mbx_block_tenant(block, select->tenant, &out->part, &out->tenant, err));
    if (out->tenant == NULL) {
        return MRD_OK;
    }
    out->all = covers(out->tenant, select);
    if (!out->all) {
        const struct mbx_query query = {select->matchers, select->matcher_count, select->min_ms,
                                        select->max_ms, select->min_ms};
        mrd_auto(mbx_erased_fini)
        struct mbx_erased erased = {0};
        uint64_t gone;
        const struct mrd_look look = mrd_objstore_look(block->control);
        MRD_TRY(mbx_match(out->tenant, &query, &look, &out->series, err));
        MRD_TRY(
            mbx_erased_init(&erased, out->tenant, select, true, &look, &out->series, &gone, err));
    }
    return MRD_OK;
}

static void close_visit(struct visit *visit)
{
    mbx_shared_unref(&visit->part);
    mbx_numbers_fini(&visit->series);
    free(visit->marks);
}

/* Marks which pairs (or names) the matching series have. */
static enum mrd_status mark(struct visit *visit, bool names, struct mrd_pace *pace,
                            struct mrd_error *err)
{
    const struct mbx_tenant *tenant = visit->tenant;
    const size_t count = names ? tenant->name_count : tenant->pair_count;
    uint8_t *marks = calloc(count + 1, 1);
    mrd_assert(marks != NULL);
    visit->marks = marks;
    if (visit->all) {
        memset(marks, 1, count);
    }
    for (size_t i = 0; i < visit->series.count; i++) {
        const struct mbx_series *series = &tenant->series[visit->series.items[i]];
        for (uint32_t k = 0; k < series->refs_count; k++) {
            const uint32_t pair = tenant->refs[series->refs_first + k];
            marks[names ? tenant->pairs[pair].name : pair] = 1;
        }
        MRD_TRY(mrd_pace(pace, series->refs_count, err));
    }
    return MRD_OK;
}

static enum mrd_status visit_names(struct visit *of, struct mrd_pace *pace,
                                   mrd_block_text_visit *visit, void *context,
                                   struct mrd_error *err)
{
    MRD_TRY(mark(of, true, pace, err));
    for (uint32_t i = 0; i < of->tenant->name_count; i++) {
        MRD_TRY(mrd_pace(pace, VISIT_UNITS, err));
        if (of->marks[i] != 0 && !visit(context, of->tenant->names[i].name)) {
            break;
        }
    }
    return MRD_OK;
}

static enum mrd_status visit_values(struct visit *of, struct mrd_bytes name, struct mrd_pace *pace,
                                    mrd_block_text_visit *visit, void *context,
                                    struct mrd_error *err)
{
    const ptrdiff_t at = mbx_name_find(of->tenant, name);
    if (at < 0) {
        return MRD_OK;
    }
    const struct mbx_name *found = &of->tenant->names[at];
    MRD_TRY(mark(of, false, pace, err));
    for (uint32_t i = 0; i < found->pairs_count; i++) {
        const uint32_t pair = found->pairs_first + i;
        MRD_TRY(mrd_pace(pace, VISIT_UNITS, err));
        if (of->marks[pair] != 0 && !visit(context, of->tenant->pairs[pair].value)) {
            break;
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_block_label_names(struct mrd_block *block,
                                      const struct mrd_block_select *select,
                                      mrd_block_text_visit *visit, void *context,
                                      struct mrd_error *err)
{
    mrd_auto(close_visit)
    struct visit of = {0};
    const struct mrd_look look = mrd_objstore_look(block->control);
    struct mrd_pace pace = {.look = &look};
    MRD_TRY(open_visit(block, select, &of, err));
    return of.tenant == NULL ? MRD_OK : visit_names(&of, &pace, visit, context, err);
}

enum mrd_status mrd_block_label_values(struct mrd_block *block,
                                       const struct mrd_block_select *select, struct mrd_bytes name,
                                       mrd_block_text_visit *visit, void *context,
                                       struct mrd_error *err)
{
    mrd_auto(close_visit)
    struct visit of = {0};
    const struct mrd_look look = mrd_objstore_look(block->control);
    struct mrd_pace pace = {.look = &look};
    MRD_TRY(open_visit(block, select, &of, err));
    return of.tenant == NULL ? MRD_OK : visit_values(&of, name, &pace, visit, context, err);
}
