#include "objstore/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const struct mrd_config_table tables[] = {
    {mrd_objstore_settings_keys, MRD_OBJSTORE_SETTINGS_KEYS},
};
static const struct mrd_config_schema schema = {"test", "Tests.", tables, 1, NULL};
static struct mrd_error told;

/* Opens what some --set arguments, ended by NULL, describe. */
static enum mrd_status open_of(const char *const *sets, struct mrd_objstore **out_store)
{
    struct mrd_config_sources sources = {0};
    for (; *sets != NULL; sets++) {
        sources.sets[sources.set_count++] = *sets;
    }
    mrd_auto(mrd_config_release)
    struct mrd_config *config = NULL;
    MRD_TRY(mrd_config_load(&schema, &sources, &config, &told));
    return mrd_objstore_settings_open(config, NULL, out_store, &told);
}

static void a_folder_is_opened(void **state)
{
    (void)state;
    char folder[] = "/tmp/mrd-objects-XXXXXX";
    char set[64];
    struct mrd_objstore *store = NULL;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(set, sizeof(set), "objstore.file.folder=%s", folder);
    assert_int_equal(open_of((const char *const[]){set, NULL}, &store), MRD_OK);
    assert_int_equal(mrd_objstore_probe(store, "", NULL, &told), MRD_OK);
    mrd_objstore_close(&store);
    char temporaries[64];
    (void)snprintf(temporaries, sizeof(temporaries), "%s/.mrd-tmp", folder);
    assert_int_equal(rmdir(temporaries), 0); /* the probe leaves nothing */
    assert_int_equal(rmdir(folder), 0);
}

#define S3                                                                                         \
    "objstore.kind=s3", "objstore.s3.region=eu-1", "objstore.s3.bucket=meridian-1",                \
        "objstore.s3.endpoint=https://s3.example.org", "objstore.s3.access_key=a",                 \
        "objstore.s3.secret_key=b"

static void a_bucket_is_opened(void **state)
{
    (void)state;
    struct mrd_objstore *store = NULL;
    assert_int_equal(open_of((const char *const[]){S3, NULL}, &store), MRD_OK);
    assert_string_equal(mrd_objstore_name(store), "s3 meridian-1 at s3.example.org");
    mrd_objstore_close(&store);
}

static const struct {
    const char *sets[9];
    const char *text;
} wrong[] = {
    {{NULL},                                            "objstore.file.folder"},
    {{"objstore.kind=s3", NULL},                        "bucket"              },
    {{S3, "objstore.s3.endpoint=s3.example.org", NULL}, "https://"            },
    {{S3, "objstore.s3.endpoint=https://", NULL},       "names a host"        },
    {{S3, "objstore.s3.endpoint=https://a/b", NULL},    "endpoint"            },
    {{S3, "objstore.s3.endpoint=https://u@a", NULL},    "endpoint"            },
    {{S3, "objstore.s3.region=", NULL},                 "region"              },
    {{S3, "objstore.s3.region=a b", NULL},              "region"              },
    {{S3, "objstore.s3.bucket=x", NULL},                "bucket"              },
    {{S3, "objstore.s3.bucket=my.bucket", NULL},        "path_style"          },
    {{S3, "objstore.s3.prefix=a", NULL},                "slash"               },
    {{S3, "objstore.s3.prefix=../", NULL},              "dot"                 },
    {{S3, "objstore.s3.storage_class=A\nB: c", NULL},   "storage_class"       },
    {{S3, "objstore.s3.kms_key_id=abc", NULL},          "kms_key_id"          },
    {{S3, "objstore.s3.part_size=1MiB", NULL},          "part_size"           },
    {{S3, "objstore.s3.secret_key=", NULL},             "go together"         },
    {{S3, "objstore.s3.encryption=rot13", NULL},        "aws:kms"             },
};

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        struct mrd_objstore *store = NULL;
        told.text[0] = 0;
        assert_int_equal(open_of(wrong[i].sets, &store), MRD_E_INVALID);
        if (strstr(told.text, wrong[i].text) == NULL) {
            fail_msg("%zu: \"%s\" has no \"%s\"", i, told.text, wrong[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_opened),
        cmocka_unit_test(a_bucket_is_opened),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
