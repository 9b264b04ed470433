/* store_internal.h: what an implementation of store.h provides. store.c checks arguments and counts,
 * so an implementation gets valid keys, sizes within bounds and no NULL but for the control. */
#ifndef MRD_OBJSTORE_STORE_INTERNAL_H
#define MRD_OBJSTORE_STORE_INTERNAL_H

#include "objstore/store.h"

/* An upload under way: first member of the implementation's own struct. */
struct mrd_objstore_upload {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control;
    char key[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
    uint64_t size; /* written so far */
    int64_t begin_ns;
    bool ended; /* finished or failed: only destroy is left */
};

/* Each as the function of its name in store.h says. */
struct mrd_objstore_ops {
    enum mrd_status (*put)(struct mrd_objstore *store, const char *key, struct mrd_bytes bytes,
                           const struct mrd_objstore_control *control, struct mrd_error *err);
    enum mrd_status (*put_if_absent)(struct mrd_objstore *store, const char *key,
                                     struct mrd_bytes bytes,
                                     const struct mrd_objstore_control *control,
                                     struct mrd_error *err);
    enum mrd_status (*put_many)(struct mrd_objstore *store, const struct mrd_objstore_item *items,
                                size_t item_count, const struct mrd_objstore_control *control,
                                struct mrd_error *err);
    enum mrd_status (*upload_begin)(struct mrd_objstore *store, const char *key,
                                    const struct mrd_objstore_control *control,
                                    struct mrd_objstore_upload **out_upload, struct mrd_error *err);
    enum mrd_status (*upload_write)(struct mrd_objstore_upload *upload, struct mrd_bytes bytes,
                                    struct mrd_error *err);
    enum mrd_status (*upload_finish)(struct mrd_objstore_upload *upload, struct mrd_error *err);
    /* Frees it. take_back false: leaves behind what a killed process would. */
    void (*upload_destroy)(struct mrd_objstore_upload *upload, bool take_back);
    enum mrd_status (*head)(struct mrd_objstore *store, const char *key,
                            const struct mrd_objstore_control *control,
                            struct mrd_objstore_info *out, struct mrd_error *err);
    enum mrd_status (*get)(struct mrd_objstore *store, const char *key, size_t size_max,
                           const struct mrd_objstore_control *control, struct mrd_buf *out,
                           struct mrd_error *err);
    enum mrd_status (*read)(struct mrd_objstore *store, const char *key,
                            const struct mrd_objstore_range *ranges, size_t range_count,
                            const struct mrd_objstore_control *control, struct mrd_error *err);
    enum mrd_status (*list)(struct mrd_objstore *store, const char *prefix, const char *after,
                            mrd_objstore_visit *visit, void *context,
                            const struct mrd_objstore_control *control, struct mrd_error *err);
    /* NULL: there are no classes. */
    enum mrd_status (*set_class)(struct mrd_objstore *store, const char *key,
                                 const char *storage_class,
                                 const struct mrd_objstore_control *control, struct mrd_error *err);
    enum mrd_status (*delete_many)(struct mrd_objstore *store, const char *const *keys,
                                   size_t key_count, const struct mrd_objstore_control *control,
                                   struct mrd_error *err);
    enum mrd_status (*sweep)(struct mrd_objstore *store, mrd_time_ms age_ms,
                             const struct mrd_objstore_control *control, struct mrd_error *err);
    void (*close)(struct mrd_objstore *store);
};

struct objstore_figures;

/* First member of the implementation's own struct. */
struct mrd_objstore {
    const struct mrd_objstore_ops *ops;
    struct objstore_figures *figures; /* NULL: not counted */
    bool near;                        /* mrd_objstore_is_near */
    char name[320];
};

/* Fills the first member; metrics may be NULL. objstore_fini undoes it. */
void objstore_init(struct mrd_objstore *store, const struct mrd_objstore_ops *ops,
                   struct mrd_metrics *metrics);
void objstore_fini(struct mrd_objstore *store);

/* True if the bytes of `key` begin with `prefix`. */
static inline bool objstore_begins(const char *key, const char *prefix)
{
    return strncmp(key, prefix, strlen(prefix)) == 0;
}

#endif
