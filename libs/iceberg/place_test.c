#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "iceberg/commit.h"
#include "iceberg/place.h"
#include "objstore/settings.h"

static const struct mrd_config_table tables[] = {
    {mrd_objstore_settings_keys, MRD_OBJSTORE_SETTINGS_KEYS},
};
static const struct mrd_config_schema schema = {"test", "Tests.", tables, 1, NULL};

static enum mrd_status store_of(const char *const *sets, struct mrd_arena *arena,
                                struct mrd_iceberg_store *out, struct mrd_error *err)
{
    struct mrd_config_sources sources = {0};
    for (; *sets != NULL; sets++) {
        sources.sets[sources.set_count++] = *sets;
    }
    mrd_auto(mrd_config_release)
    struct mrd_config *config = NULL;
    MRD_TRY(mrd_config_load(&schema, &sources, &config, err));
    return mrd_iceberg_store_of(config, arena, out, err);
}

static void folders_are_file_uris(void **state)
{
    (void)state;
    static const struct {
        const char *set, *root;
    } cases[] = {
        {"objstore.file.folder=/var/lib/meridian",  "file:///var/lib/meridian"},
        {"objstore.file.folder=/var/lib/meridian/", "file:///var/lib/meridian"},
        {"objstore.file.folder=blocks",             NULL                      },
        {"objstore.file.folder=",                   NULL                      },
        {"objstore.file.folder=/var/my blocks",     NULL                      },
        {"objstore.file.folder=/a%20b",             NULL                      },
        {"objstore.file.folder=/a//b",              NULL                      },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
        struct mrd_iceberg_store store;
        struct mrd_error err;
        const enum mrd_status status =
            store_of((const char *const[]){cases[i].set, NULL}, arena, &store, &err);
        assert_int_equal(status, cases[i].root == NULL ? MRD_E_INVALID : MRD_OK);
        if (status == MRD_OK) {
            assert_string_equal(store.root, cases[i].root);
            assert_int_equal(store.config_count, 0);
        } else {
            assert_non_null(strstr(err.text, "objstore.file.folder"));
        }
    }
}

static void buckets_are_s3_uris(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "tenants/eu/"};
    static const char *const roots[] = {"s3://bucket-1", "s3://bucket-1/tenants/eu"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(prefixes); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
        const char *prefix = mrd_arena_printf(arena, "objstore.s3.prefix=%s", prefixes[i]);
        const char *const sets[] = {"objstore.kind=s3",
                                    "objstore.s3.bucket=bucket-1",
                                    "objstore.s3.region=eu-1",
                                    "objstore.s3.endpoint=https://s3.example.org",
                                    "objstore.s3.path_style=true",
                                    "objstore.s3.secret_key=not for readers",
                                    prefix,
                                    NULL};
        struct mrd_iceberg_store store;
        assert_int_equal(store_of(sets, arena, &store, NULL), MRD_OK);
        assert_string_equal(store.root, roots[i]);
        assert_string_equal(
            mrd_iceberg_property_find(store.config, store.config_count, "s3.endpoint"),
            "https://s3.example.org");
        assert_string_equal(
            mrd_iceberg_property_find(store.config, store.config_count, "s3.path-style-access"),
            "true");
        for (size_t k = 0; k < store.config_count; k++) {
            assert_null(strstr(store.config[k].value, "not for readers"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_file_uris),
        cmocka_unit_test(buckets_are_s3_uris),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
