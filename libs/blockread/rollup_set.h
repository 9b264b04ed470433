/* rollup_set.h: the rows of many rollup blocks, series by series: part of rollup_source.h.
 *
 * Owner, threads, memory, errors: as of rollup_source.h.
 */
#ifndef MRD_BLOCKREAD_ROLLUP_SET_H
#define MRD_BLOCKREAD_ROLLUP_SET_H

#include "blockread/block_source.h"
#include "promql/coarse.h"
#include "promql/hidden.h"

struct mrd_rollup_list {
    const struct mrd_block_entry **items;
    size_t count;
    size_t capacity;
};

void mrd_rollup_list_add(struct mrd_rollup_list *list, const struct mrd_block_entry *entry);
/* By time: the first window, then the last one. */
void mrd_rollup_list_sort(struct mrd_rollup_list *list);
void mrd_rollup_list_fini(struct mrd_rollup_list *list);

/* Takes the list, which is sorted, also on failure. Rows of windows that begin before what `hidden` (in the scope's arena) says of their series are left
 * out. */
MRD_MUST_CHECK enum mrd_status
mrd_rollup_set_open(struct mrd_block_source *source, struct mrd_rollup_list *take,
                    const struct mrd_hidden_rules *hidden, const struct mrd_select *select,
                    const struct mrd_coarse_wanted *wanted, const struct mrd_query_scope *scope,
                    struct mrd_coarse_set **out_set, struct mrd_error *err);

/* Of mrd_coarse. Each block's rows are a piece; where blocks share windows all are one, the window's rows joined. */
enum mrd_status mrd_rollup_set_next(struct mrd_coarse_set *set, struct mrd_coarse_series *out,
                                    bool *out_more, struct mrd_error *err);
void mrd_rollup_set_close(struct mrd_coarse_set *set);

#endif
