#include "base/sort.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

struct sort {
    size_t item_size;
    mrd_order *order;
    void *context;
    const struct mrd_look *look;
    size_t unlooked; /* items merged since the last look */
};

struct part {
    const char *at;
    const char *end;
};

/* The smaller of the first items of two parts, of equal ones the left's; taken off. */
static const char *take_smaller(const struct sort *sort, struct part *left, struct part *right)
{
    const bool from_left =
        right->at == right->end ||
        (left->at < left->end && sort->order(left->at, right->at, sort->context) <= 0);
    struct part *from = from_left ? left : right;
    const char *taken = from->at;
    from->at += sort->item_size;
    return taken;
}

/* Merges two neighbours into `to`. */
static enum mrd_status merge_two(struct sort *sort, struct part left, struct part right, char *to,
                                 struct mrd_error *err)
{
    while (left.at < left.end || right.at < right.end) {
        memcpy(to, take_smaller(sort, &left, &right), sort->item_size);
        to += sort->item_size;
        if (++sort->unlooked >= MRD_SORT_RUN) {
            sort->unlooked = 0;
            MRD_TRY(mrd_look(sort->look, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status merge_pass(struct sort *sort, const char *from, char *to, size_t size,
                                  size_t run_size, struct mrd_error *err)
{
    for (size_t at = 0; at < size; at += 2 * run_size) {
        const size_t middle = MRD_MIN(at + run_size, size);
        const size_t end = MRD_MIN(at + 2 * run_size, size);
        MRD_TRY(merge_two(sort, (struct part){from + at, from + middle},
                          (struct part){from + middle, from + end}, to + at, err));
    }
    return MRD_OK;
}

static enum mrd_status merge_runs(struct sort *sort, char *items, char *spare, size_t size,
                                  struct mrd_error *err)
{
    char *from = items;
    char *to = spare;
    enum mrd_status status = MRD_OK;
    for (size_t run_size = MRD_SORT_RUN * sort->item_size; run_size < size && status == MRD_OK;
         run_size *= 2) {
        status = merge_pass(sort, from, to, size, run_size, err);
        if (status == MRD_OK) {
            char *merged = to;
            to = from;
            from = merged;
        }
    }
    if (from != items) {
        memcpy(items, from, size);
    }
    return status;
}

enum mrd_status mrd_sort(void *items, size_t count, size_t item_size, mrd_order *order,
                         void *context, const struct mrd_look *look, struct mrd_error *err)
{
    struct sort sort = {item_size, order, context, look, 0};
    const size_t size = count * item_size;
    for (size_t at = 0; at < count; at += MRD_SORT_RUN) {
        qsort_r((char *)items + at * item_size, MRD_MIN(count - at, (size_t)MRD_SORT_RUN),
                item_size, order, context); /* glibc's is stable */
        if (at > 0) {
            MRD_TRY(mrd_look(look, err));
        }
    }
    if (count <= MRD_SORT_RUN) {
        return MRD_OK;
    }
    char *spare = malloc(size);
    if (spare == NULL) {
        return mrd_fail(err, MRD_E_LIMIT, "out of memory for sorting %zu items", count);
    }
    const enum mrd_status status = merge_runs(&sort, items, spare, size, err);
    free(spare);
    return status;
}
