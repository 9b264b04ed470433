/* erasure.h: a request that samples be no more: whose, of which series, of which times, from whom and when.
 *
 * It erases what was written before it: in a partition's log all that stands before it, and of what comes behind it the
 * copies and the late ones, which are stamped before it. What is written later lives (docs/decisions/0008-erasure.md).
 *
 * Owner:   mrd_erasure_fini frees compiled regexes; texts and arrays are borrowed, of a decoded one from the bytes and the arena.
 * Threads: matching is const and thread-safe.
 * Limits:  MRD_ERASURE_SIZE_MAX encoded, MRD_ERASURE_SELECTORS_MAX selectors of MRD_ERASURE_MATCHERS_MAX matchers.
 */
#ifndef MRD_MODEL_ERASURE_H
#define MRD_MODEL_ERASURE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "model/matcher.h"

enum {
    MRD_ERASURE_SELECTORS_MAX = 64,
    MRD_ERASURE_MATCHERS_MAX = 64, /* of one selector */
    MRD_ERASURE_BY_MAX = 256,
    MRD_ERASURE_SIZE_MAX = 256 << 10,
};

struct mrd_erasure_selector {
    const struct mrd_matcher *matchers; /* all must hold; at least one */
    size_t matcher_count;
};

struct mrd_erasure {
    struct mrd_id128 id; /* of the request: the same one again changes nothing */
    struct mrd_bytes tenant;
    struct mrd_bytes by; /* who asked, as far as it is known */
    mrd_hlc hlc;
    mrd_time_ms time_min_ms; /* both included */
    mrd_time_ms time_max_ms;
    const struct mrd_erasure_selector *selectors; /* one must select the series */
    size_t selector_count;
};

/* Appends the bytes of docs/formats/erasure.md. MRD_E_INVALID with the bound if something is beyond the limits, or there is no
 * tenant, selector or matcher; nothing is appended then. */
MRD_MUST_CHECK enum mrd_status mrd_erasure_encode(const struct mrd_erasure *erasure,
                                                  struct mrd_buf *out, struct mrd_error *err);

/* Texts point into `bytes`. MRD_E_CORRUPT: not an erasure; MRD_E_UNSUPPORTED: a later version's; MRD_E_LIMIT from the arena;
 * MRD_E_INVALID: a regex that does not compile. */
MRD_MUST_CHECK enum mrd_status mrd_erasure_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                                  struct mrd_erasure *out, struct mrd_error *err);
/* Only of a decoded one. */
void mrd_erasure_fini(struct mrd_erasure *erasure);

/* True if one of the selectors accepts the label set; of the tenant's own series, the caller sees to that. */
bool mrd_erasure_selects(const struct mrd_erasure *erasure, struct mrd_labels labels);

/* All times, as a request to delete a tenant has them. */
#define MRD_ERASURE_TIME_MIN_MS (INT64_MIN / 2)
#define MRD_ERASURE_TIME_MAX_MS (INT64_MAX / 2)

/* Whether it is about all that its tenant has, of whatever time: the tenant is to be deleted. It says so by one selector of one matcher, __name__=~".*", which
 * no request for series may have. */
bool mrd_erasure_is_of_tenant(const struct mrd_erasure *erasure);

static inline bool mrd_erasure_has_time(const struct mrd_erasure *erasure, mrd_time_ms time_ms)
{
    return time_ms >= erasure->time_min_ms && time_ms <= erasure->time_max_ms;
}

#endif
