/* Look-ups by tenant over real snapshots, alone and while they are exchanged. */
#include "tenancy/settings.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tenancy/keys.h"

enum { TENANTS = 5000 };

/* Two copies of one setting: a look-up that mixes snapshots would show. */
struct pair {
    double rate;
    double again;
};

static void read_pair(const struct mrd_config *config, void *out)
{
    const double rate = mrd_config_float(config, "limits.ingestion_rate");
    *(struct pair *)out = (struct pair){rate, rate};
}

/* All tenants have `common`, and tenant i has common + i + 1. */
static struct mrd_config *config_with(int common)
{
    char path[] = "/tmp/meridian-settings-test-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    assert_non_null(file);
    (void)fprintf(file, "limits: {ingestion_rate: %d}\noverrides:\n", common);
    for (int i = 0; i < TENANTS; i++) {
        (void)fprintf(file, "  tenant-%d: {limits.ingestion_rate: %d}\n", i, common + i + 1);
    }
    assert_int_equal(fclose(file), 0);
    const struct mrd_config_schema schema = {"test", "Tests.", &mrd_tenancy_write_keys, 1,
                                             &mrd_tenancy_overrides};
    static struct mrd_config_schema kept;
    kept = schema;
    const struct mrd_config_sources sources = {.file = path};
    struct mrd_config *config = NULL;
    struct mrd_error err;
    if (mrd_config_load(&kept, &sources, &config, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    (void)unlink(path);
    return config;
}

static struct pair get(struct mrd_tenancy_settings *settings, const char *tenant)
{
    struct pair pair;
    mrd_tenancy_settings_get(settings, mrd_bytes_of(tenant), &pair);
    return pair;
}

static void each_tenant_finds_its_own(void **state)
{
    (void)state;
    struct mrd_config *config = config_with(1000);
    struct mrd_tenancy_settings *settings =
        mrd_tenancy_settings_create(sizeof(struct pair), read_pair, config);
    mrd_config_release(&config); /* values do not point into it */
    for (int i = 0; i < TENANTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "tenant-%d", i);
        assert_true(get(settings, name).rate == 1001 + i);
    }
    assert_true(get(settings, "tenant-5000").rate == 1000);
    assert_true(get(settings, "").rate == 1000);
    config = config_with(2000);
    mrd_tenancy_settings_set(settings, config);
    mrd_config_release(&config);
    assert_true(get(settings, "tenant-7").rate == 2008);
    assert_true(get(settings, "other").rate == 2000);
    mrd_tenancy_settings_destroy(&settings);
    assert_null(settings);
}

static _Atomic bool done;

static void *reader(void *context)
{
    uintptr_t torn = 0;
    while (!done) {
        const struct pair pair = get(context, "tenant-3");
        torn += pair.rate != pair.again || (pair.rate != 1004 && pair.rate != 2004);
    }
    return (void *)torn;
}

static void look_ups_go_on_while_settings_change(void **state)
{
    (void)state;
    struct mrd_config *configs[] = {config_with(1000), config_with(2000)};
    struct mrd_tenancy_settings *settings =
        mrd_tenancy_settings_create(sizeof(struct pair), read_pair, configs[0]);
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader, settings), 0);
    }
    for (int i = 0; i < 20; i++) {
        mrd_tenancy_settings_set(settings, configs[i % 2]);
    }
    done = true;
    for (size_t i = 0; i < 2; i++) {
        void *torn;
        assert_int_equal(pthread_join(threads[i], &torn), 0);
        assert_null(torn);
    }
    mrd_tenancy_settings_destroy(&settings);
    mrd_config_release(&configs[0]);
    mrd_config_release(&configs[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tenant_finds_its_own),
        cmocka_unit_test(look_ups_go_on_while_settings_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
