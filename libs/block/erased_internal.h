/* erased_internal.h: which times of a select's series are to be left out for erasures.
 *
 * Which erasures select which series is decided once, when the series are found: a bit for each series and erasure that meet. The
 * ranges of a series are made of its bits when a cursor comes to it.
 *
 * Owner: the cursor. The erasures are lent.
 */
#ifndef MRD_BLOCK_ERASED_INTERNAL_H
#define MRD_BLOCK_ERASED_INTERNAL_H

#include "block/cache_internal.h"
#include "block/reader.h"

struct mbx_erased {
    const struct mrd_erasure **items; /* that meet any of the series, by time_min_ms */
    size_t count;                     /* 0: nothing is left out */
    uint8_t *bits;                    /* `width` bytes for each series */
    size_t width;
};

/* Finds out for the series `chosen` of the tenant. Those of which no run has anything left are taken out of `chosen`; *out_gone says how
 * many samples they have in the select's range. With labels_only a run that is cut by it counts as what is in it, and nothing is counted.
 * What fails is the look (NULL: none); finish *erased in any case. */
MRD_MUST_CHECK enum mrd_status mbx_erased_init(struct mbx_erased *erased,
                                               const struct mbx_tenant *tenant,
                                               const struct mrd_block_select *select,
                                               bool labels_only, const struct mrd_look *look,
                                               struct mbx_numbers *chosen, uint64_t *out_gone,
                                               struct mrd_error *err);
void mbx_erased_fini(struct mbx_erased *erased);

/* Both included. */
struct mbx_range {
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
};

/* What is erased of one series: rising ranges with something in between. */
struct mbx_ranges {
    struct mbx_range *items;
    size_t count;
    size_t capacity;
    size_t
        series; /* of those chosen; count is 0 and this means nothing before the first mbx_erased_ranges */
};

/* Makes `ranges` those of a series; costs nothing if they are, or if nothing is erased. */
void mbx_erased_ranges(const struct mbx_erased *erased, size_t series, struct mbx_ranges *ranges);
void mbx_ranges_fini(struct mbx_ranges *ranges);

/* Whether one of them has all of it. */
bool mbx_ranges_cover(const struct mbx_ranges *ranges, mrd_time_ms first_ms, mrd_time_ms last_ms);

/* The first range that ends at or after a time; ranges->count if there is none. */
size_t mbx_ranges_find(const struct mbx_ranges *ranges, mrd_time_ms time_ms);

#endif
