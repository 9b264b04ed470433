/* added_labels.h: labels that are added to every series of an import, as a server's external labels are. */
#ifndef CTL_ADDED_LABELS_H
#define CTL_ADDED_LABELS_H

#include "model/labels.h"
#include "mrdctl/options.h"

enum { CTL_ADDED_LABELS_MAX = 64 };

struct ctl_added_labels {
    struct mrd_label items[CTL_ADDED_LABELS_MAX]; /* sorted; views of the arguments */
    size_t count;
};

/* Reads texts of the form NAME=VALUE. MRD_E_INVALID: one is none, or a name comes twice. */
MRD_MUST_CHECK enum mrd_status ctl_added_labels_read(const struct ctl_list *texts,
                                                     struct ctl_added_labels *out,
                                                     struct mrd_error *err);

/* The series' labels, and those of the others that it has not. Views of both, the array from the arena. MRD_E_LIMIT. */
MRD_MUST_CHECK enum mrd_status ctl_added_labels_put(const struct ctl_added_labels *added,
                                                    struct mrd_labels labels,
                                                    struct mrd_arena *arena, struct mrd_labels *out,
                                                    struct mrd_error *err);

#endif
