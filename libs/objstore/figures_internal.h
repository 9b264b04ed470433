/* figures_internal.h: calls of a store by operation and outcome, their time, and the bytes moved. */
#ifndef MRD_OBJSTORE_FIGURES_INTERNAL_H
#define MRD_OBJSTORE_FIGURES_INTERNAL_H

#include "base/clock.h"
#include "base/metrics.h"

enum objstore_op {
    OP_PUT,
    OP_PUT_IF_ABSENT,
    OP_PUT_MANY,
    OP_UPLOAD,
    OP_HEAD,
    OP_GET,
    OP_READ,
    OP_LIST,
    OP_DELETE,
    OP_SWEEP,
    OP_SET_CLASS,
    OP_COUNT
};

struct objstore_figures;

/* Registers under meridian_objstore_*; NULL if metrics is. The caller frees it with free(). */
struct objstore_figures *objstore_figures_create(struct mrd_metrics *metrics);

int64_t objstore_figures_now_ns(void);

/* Counts one call that began at begin_ns and moved `bytes` if it succeeded; figures may be NULL.
 * Returns status. */
enum mrd_status objstore_figures_count(struct objstore_figures *figures, enum objstore_op op,
                                       int64_t begin_ns, enum mrd_status status, uint64_t bytes);

#endif
