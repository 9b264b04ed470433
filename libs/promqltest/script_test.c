#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "promqltest/script.h"

static struct mrd_bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct mrd_buf buf = {0};
    uint8_t page[4096];
    size_t size;
    while ((size = fread(page, 1, sizeof(page), file)) > 0) {
        mrd_buf_append(&buf, page, size);
    }
    assert_int_equal(fclose(file), 0);
    return mrd_buf_view(&buf); /* the caller frees data */
}

static void run_file(const char *path, struct mrd_script_report *report)
{
    const struct mrd_bytes text = read_file(path);
    struct mrd_error err;
    if (mrd_script_run(path, text, report, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    free((void *)(uintptr_t)text.data);
}

static void all_scripts_evaluate_as_written(void **state)
{
    (void)state;
    glob_t files;
    struct mrd_script_report report = {0};
    assert_int_equal(glob("tests/promql/*.test", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        run_file(files.gl_pathv[i], &report);
    }
    globfree(&files);
    print_message("%zu evaluations\n", report.evals);
    if (report.failures > 0) {
        print_error("%.*s", (int)report.text.size, (const char *)report.text.data);
        fail_msg("%zu of %zu evaluations failed", report.failures, report.evals);
    }
    mrd_buf_fini(&report.text);
    assert_true(report.evals > 400);
}

/* Each of these must be found out, or the scripts prove nothing. */
static void a_wrong_expectation_is_reported(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "load 1m\n m 1 2\n\neval instant at 0 m\n m 2\n",
        "load 1m\n m 1 2\n\neval instant at 0 m\n n 1\n",
        "load 1m\n m 1 2\n\neval instant at 0 m\n",
        "load 1m\n m 1 2\n\neval instant at 0 m\n m 1\n n 1\n",
        "load 1m\n m 1 2\n\neval instant at 0 m\n expect fail\n",
        "load 1m\n m 1 2\n\neval instant at 0 m +\n m 1\n",
        "load 1m\n m 1 2\n\neval range from 0 to 1m step 1m m\n m 1 _\n",
        "load 1m\n m 1 2\n\neval range from 0 to 1m step 1m m\n m 1\n",
        "load 1m\n m 1 2\n\neval instant at 0 1\n 2\n",
        "load 1m\n m 1 2\n\neval instant at 0 quantile(2, m)\n expect no_warn\n {} Inf\n",
        "load 1m\n m 1 2\n\neval instant at 0 quantile(2, m)\n expect warn msg:x\n {} Inf\n",
        "load 1m\n m 1 2\n\neval instant at 0 m\n expect info\n m 1\n",
        ("load 1m\n m{a=\"1\"} 1\n m{a=\"2\"} 2\n\neval instant at 0 sort(m)\n expect ordered\n"
         " m{a=\"2\"} 2\n m{a=\"1\"} 1\n"),
        "eval instant at 0 \"a\"\n expect string \"b\"\n",
        "eval instant at 0 \"a\"\n expect unsupported\n",
        "load 1m\n m@st -5s\n m 1\n\neval instant at 0 start_timestamp(m)\n {} -4\n",
        "load 1m\n m@st _ -5s\n m 1 2\n\neval instant at 1m resets(m[2m])\n {} 0\n",
        "load 1m\n h {{count:1 buckets:[1]}}\n\neval instant at 0 h\n h {{count:1 buckets:[2]}}\n",
        "load 1m\n h {{count:1 buckets:[1]}}\n\neval instant at 0 h\n h {{count:1 buckets:[1 "
        "1]}}\n",
        "load 1m\n h {{count:1}}\n\neval instant at 0 h\n h {{count:1 schema:1}}\n",
        "load 1m\n h {{count:1}}\n\neval instant at 0 h\n h {{count:1 counter_reset_hint:gauge}}\n",
        "load 1m\n h {{count:1}}\n\neval instant at 0 h\n h 1\n",
        "load 1m\n h 1\n\neval instant at 0 h\n h {{count:1}}\n",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        struct mrd_script_report report = {0};
        struct mrd_error err;
        assert_int_equal(mrd_script_run("wrong", mrd_bytes_of(wrong[i]), &report, &err), MRD_OK);
        if (report.failures != 1) {
            fail_msg("not found out:\n%s", wrong[i]);
        }
        mrd_buf_fini(&report.text);
    }
}

static void a_script_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "lead 1m\n",
        "load soon\n",
        "load 1m\n m{a=\"b} 1\n",
        "load 1m\n m one\n",
        "eval sometimes 1\n",
        "load 1m\n h {{count:one}}\n",
        "load 1m\n h {{number:1}}\n",
        "load 1m\n h {{count:1\n",
        "load 1m\n h {{schema:9}}\n",
        "load 1m\n h {{buckets:1}}\n",
        "load 1m\n h {{counter_reset_hint:perhaps}}\n",
        "load 1m\n h {{count:1}}+3x2\n",
        "load_with_nhcb 1m\n h_bucket{le=\"1\"} 2\n h_bucket{le=\"2\"} 1\n",
        "load 1m\n m@st -1m\n",
        "load 1m\n m@st -1m\n n 1\n",
        "load 1m\n m@st -1mx1\n m 1\n",
        "load 1m\n m@st -1m\n m@st -1m\n m 1\n",
        "load 1m\n m@st often\n m 1\n",
        "eval range from 0 2m step 1m x\n",
        "eval instant at 0 1\n expect miracle\n",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        struct mrd_script_report report = {0};
        struct mrd_error err = {0};
        const enum mrd_status status =
            mrd_script_run("wrong", mrd_bytes_of(wrong[i]), &report, &err);
        if (status != MRD_E_INVALID) {
            fail_msg("taken: %s", wrong[i]);
        }
        mrd_buf_fini(&report.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_expectation_is_reported),
        cmocka_unit_test(a_script_that_cannot_be_read_is_refused),
        cmocka_unit_test(all_scripts_evaluate_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
