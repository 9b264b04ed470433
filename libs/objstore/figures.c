#include <stdlib.h>

#include "objstore/figures_internal.h"

struct objstore_figures {
    struct mrd_counter_vec *calls[OP_COUNT];
    struct mrd_metrics_histogram *seconds[OP_COUNT];
    struct mrd_counter *bytes_read;
    struct mrd_counter *bytes_written;
};

static const char *const op_names[OP_COUNT] = {
    [OP_PUT] = "put",           [OP_PUT_IF_ABSENT] = "put_if_absent",
    [OP_UPLOAD] = "upload",     [OP_HEAD] = "head",
    [OP_GET] = "get",           [OP_READ] = "read",
    [OP_LIST] = "list",         [OP_DELETE] = "delete",
    [OP_SWEEP] = "sweep",       [OP_SET_CLASS] = "set_class",
    [OP_PUT_MANY] = "put_many",
};

struct objstore_figures *objstore_figures_create(struct mrd_metrics *metrics)
{
    if (metrics == NULL) {
        return NULL;
    }
    struct objstore_figures *figures = calloc(1, sizeof(*figures));
    mrd_assert(figures != NULL);
    for (size_t op = 0; op < OP_COUNT; op++) {
        const struct mrd_metric_label labels[] = {
            {"operation", op_names[op]},
            {NULL,        NULL        }
        };
        figures->calls[op] =
            mrd_metrics_counter_vec(metrics, "meridian_objstore_calls_total",
                                    "Calls of the object storage, by operation and outcome.",
                                    "outcome", labels, MRD_STATUS_COUNT);
        figures->seconds[op] =
            mrd_metrics_histogram(metrics, "meridian_objstore_call_seconds",
                                  "Time of a call, with its retries and waits, by operation.",
                                  labels, mrd_bounds_seconds, mrd_bounds_seconds_count);
    }
    figures->bytes_read =
        mrd_metrics_counter(metrics, "meridian_objstore_bytes_total",
                            "Bytes of objects moved by calls that succeeded, by direction.",
                            MRD_LABELS({"direction", "read"}));
    figures->bytes_written =
        mrd_metrics_counter(metrics, "meridian_objstore_bytes_total",
                            "Bytes of objects moved by calls that succeeded, by direction.",
                            MRD_LABELS({"direction", "written"}));
    return figures;
}

int64_t objstore_figures_now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

enum mrd_status objstore_figures_count(struct objstore_figures *figures, enum objstore_op op,
                                       int64_t begin_ns, enum mrd_status status, uint64_t bytes)
{
    if (figures != NULL) {
        const char *outcome = mrd_status_name(status);
        mrd_counter_add(mrd_counter_vec_at(figures->calls[op], mrd_bytes_of(outcome)), 1);
        mrd_metrics_histogram_observe(figures->seconds[op],
                                      (double)(objstore_figures_now_ns() - begin_ns) / 1e9);
        if (status == MRD_OK) {
            mrd_counter_add(op == OP_GET || op == OP_READ ? figures->bytes_read
                                                          : figures->bytes_written,
                            bytes);
        }
    }
    return status;
}
