#include "iceberg/place.h"

/* What stands for itself in the path of a URI and in every reader's idea of one. */
static bool is_plain_path(const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.~";
    return text[strspn(text, plain)] == '\0' && strstr(text, "//") == NULL;
}

static size_t size_without_slash(const char *text)
{
    const size_t size = strlen(text);
    return size > 0 && text[size - 1] == '/' ? size - 1 : size;
}

static enum mrd_status folder_of(const struct mrd_config *config, struct mrd_arena *arena,
                                 struct mrd_iceberg_store *out, struct mrd_error *err)
{
    const char *folder = mrd_config_string(config, "objstore.file.folder");
    if (folder[0] != '/' || !is_plain_path(folder)) {
        return mrd_fail(
            err, MRD_E_INVALID,
            "objstore.file.folder \"%.200s\": for tables it must be absolute, of letters, "
            "digits and -_.~",
            folder);
    }
    out->root = mrd_arena_printf(arena, "file://%.*s", (int)size_without_slash(folder), folder);
    return out->root == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

static enum mrd_status bucket_of(const struct mrd_config *config, struct mrd_arena *arena,
                                 struct mrd_iceberg_store *out, struct mrd_error *err)
{
    const char *prefix = mrd_config_string(config, "objstore.s3.prefix");
    const bool path_style = mrd_config_bool(config, "objstore.s3.path_style");
    const struct mrd_iceberg_property items[] = {
        {"s3.endpoint",             mrd_config_string(config, "objstore.s3.endpoint")},
        {"s3.region",                         mrd_config_string(config,                                       "objstore.s3.region")},
        {"client.region",    mrd_config_string(config,"objstore.s3.region")},
        {"s3.path-style-access",path_style ? "true" : "false"           },
        {"s3.force-virtual-addressing",    path_style ? "false" : "true" },
    };
    struct mrd_iceberg_property *kept = mrd_arena_alloc(arena, sizeof(items));
    if (kept == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(items); i++) {
        kept[i].key = items[i].key;
        kept[i].value = (const char *)mrd_arena_copy(arena, mrd_bytes_of(items[i].value)).data;
        if (kept[i].value == NULL) {
            return mrd_arena_fail(arena, err);
        }
    }
    out->config = kept;
    out->config_count = MRD_ARRAY_LEN(items);
    out->root = mrd_arena_printf(
        arena, "s3://%s%s%.*s", mrd_config_string(config, "objstore.s3.bucket"),
        size_without_slash(prefix) > 0 ? "/" : "", (int)size_without_slash(prefix), prefix);
    return out->root == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

enum mrd_status mrd_iceberg_store_of(const struct mrd_config *config, struct mrd_arena *arena,
                                     struct mrd_iceberg_store *out, struct mrd_error *err)
{
    struct mrd_iceberg_store store = {0};
    if (strcmp(mrd_config_string(config, "objstore.kind"), "s3") == 0) {
        MRD_TRY(bucket_of(config, arena, &store, err));
    } else {
        MRD_TRY(folder_of(config, arena, &store, err));
    }
    *out = store;
    return MRD_OK;
}
