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
};

static bool covers(const struct mbx_tenant *tenant, const struct mrd_block_select *select)
{
    return select->matcher_count == 0 && select->erasure_count == 0 &&
           select->min_ms <= tenant->counts.min_ms && select->max_ms >= tenant->counts.max_ms;
}

static enum mrd_status open_visit(struct mrd_block *block, const struct mrd_block_select *select,
                                  struct visit *out, struct mrd_error *err)
{
    *out = (struct visit){0};
    MRD_TRY(mrd_objstore_check(block->control, err));
    MRD_TRY(mbx_block_tenant(block, select->tenant, &out->part, &out->tenant, err));
    if (out->tenant == NULL) {
        return MRD_OK;
    }
    out->all = covers(out->tenant, select);
    if (!out->all) {
        const struct mbx_query query = {select->matchers, select->matcher_count, select->min_ms,
                                        select->max_ms};
        struct mbx_erased erased;
        uint64_t gone;
        mbx_match(out->tenant, &query, &out->series);
        mbx_erased_init(&erased, out->tenant, select, true, &out->series, &gone);
        mbx_erased_fini(&erased);
    }
    return MRD_OK;
}

static void close_visit(struct visit *visit)
{
    mbx_shared_unref(&visit->part);
    mbx_numbers_fini(&visit->series);
}

/* Marks which pairs (or names) the matching series have. */
static uint8_t *mark(const struct visit *visit, bool names)
{
    const struct mbx_tenant *tenant = visit->tenant;
    const size_t count = names ? tenant->name_count : tenant->pair_count;
    uint8_t *marks = calloc(count + 1, 1);
    mrd_assert(marks != NULL);
    if (visit->all) {
        memset(marks, 1, count);
    }
    for (size_t i = 0; i < visit->series.count; i++) {
        const struct mbx_series *series = &tenant->series[visit->series.items[i]];
        for (uint32_t k = 0; k < series->refs_count; k++) {
            const uint32_t pair = tenant->refs[series->refs_first + k];
            marks[names ? tenant->pairs[pair].name : pair] = 1;
        }
    }
    return marks;
}

enum mrd_status mrd_block_label_names(struct mrd_block *block,
                                      const struct mrd_block_select *select,
                                      mrd_block_text_visit *visit, void *context,
                                      struct mrd_error *err)
{
    struct visit of;
    MRD_TRY(open_visit(block, select, &of, err));
    if (of.tenant != NULL) {
        uint8_t *marks = mark(&of, true);
        for (uint32_t i = 0; i < of.tenant->name_count; i++) {
            if (marks[i] != 0 && !visit(context, of.tenant->names[i].name)) {
                break;
            }
        }
        free(marks);
    }
    close_visit(&of);
    return MRD_OK;
}

enum mrd_status mrd_block_label_values(struct mrd_block *block,
                                       const struct mrd_block_select *select, struct mrd_bytes name,
                                       mrd_block_text_visit *visit, void *context,
                                       struct mrd_error *err)
{
    struct visit of;
    MRD_TRY(open_visit(block, select, &of, err));
    const ptrdiff_t at = of.tenant == NULL ? -1 : mbx_name_find(of.tenant, name);
    if (at >= 0) {
        const struct mbx_name *found = &of.tenant->names[at];
        uint8_t *marks = mark(&of, false);
        for (uint32_t i = 0; i < found->pairs_count; i++) {
            const uint32_t pair = found->pairs_first + i;
            if (marks[pair] != 0 && !visit(context, of.tenant->pairs[pair].value)) {
                break;
            }
        }
        free(marks);
    }
    close_visit(&of);
    return MRD_OK;
}
