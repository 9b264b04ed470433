/* look.h: what work that may take long asks now and then: whether to go on.
 *
 * Owner:   whoever has the work done makes the look, and its context lives as long as the work.
 * Threads: the worker's.
 */
#ifndef MRD_BASE_LOOK_H
#define MRD_BASE_LOOK_H

#include <stddef.h>

#include "base/status.h"

/* With anything but MRD_OK the work ends. */
struct mrd_look {
    enum mrd_status (*run)(void *context, struct mrd_error *err); /* NULL: it always goes on */
    void *context;
};

static inline enum mrd_status mrd_look(const struct mrd_look *look, struct mrd_error *err)
{
    return look == NULL || look->run == NULL ? MRD_OK : look->run(look->context, err);
}

/* A look after so many units of work, of some tens of nanoseconds each: a label set looked at, a number compared. Made by
 * the worker, all zero but for the look (NULL: it always goes on). */
enum { MRD_PACE_UNITS = 16 * 1024 };
struct mrd_pace {
    const struct mrd_look *look;
    size_t done; /* since the last look */
};

static inline enum mrd_status mrd_pace(struct mrd_pace *pace, size_t units, struct mrd_error *err)
{
    pace->done += units;
    if (pace->done < MRD_PACE_UNITS) {
        return MRD_OK;
    }
    pace->done = 0;
    return mrd_look(pace->look, err);
}

#endif
