/* script.h: runs PromQL test scripts: load series, evaluate, compare.
 *
 * The shape is that of Prometheus' promqltest, so that its files can be run by the same code:
 *
 *   clear
 *   load <step>
 *     <series> <values>
 *   eval instant at <time> <query>
 *     <series> <value>            or a number alone for a scalar
 *   eval range from <time> to <time> step <duration> <query>
 *     <series> <values>
 *
 * Under an eval may stand, before the results: expect fail|warn|no_warn|info|no_info [msg:TEXT |
 * regex:RE], expect ordered, expect string "TEXT", expect range vector from .. to .. step ..
 * Values: 1.5, NaN, _ (none), stale, 1x3 (1 and three more), _x3, 0+10x5, 10-1x5, and native histograms
 * {{schema:0 sum:5 count:4 buckets:[1 2 1]}} (script_histogram.h), repeated and added up the same way.
 * Before the values of a series may stand since when they count: <series>@st <times>, as many as values and
 * seen from each value's own time, with _ for unknown: -1mx3, -30s-1mx2.
 * load_with_nhcb also loads each classic histogram as a native one with custom bounds. A blank line or a
 * comment ends a command. Additions of our own: expect unsupported (MRD_E_UNSUPPORTED), and
 * option <name> on|off with the names delayed_name_removal, type_and_unit_labels and (on from the start, as there)
 * use_start_timestamps.
 *
 * A text that ends before the details of the one case, such as its place (line:col), stands for all of them.
 * eval_fail is an older spelling of expect fail.
 *
 * Numbers are compared with a relative tolerance of 1e-6 and NaN equals NaN; label sets, times and
 * (where promised) order exactly. After each instant evaluation the same query is also asked as a
 * range around its time, whose middle must agree.
 */
#ifndef MRD_PROMQLTEST_SCRIPT_H
#define MRD_PROMQLTEST_SCRIPT_H

#include "promql/engine.h"

struct mrd_script_report {
    size_t evals;
    size_t failures;
    size_t skipped;      /* among evals: the target could not evaluate them with the options */
    struct mrd_buf text; /* a line or more for each failure; mrd_buf_fini it */
};

/* Runs a script. `name` stands in front of line numbers in the report. MRD_E_INVALID if the script
 * itself is wrong. */
MRD_MUST_CHECK enum mrd_status mrd_script_run(const char *name, struct mrd_bytes script,
                                              struct mrd_script_report *report,
                                              struct mrd_error *err);

/* The same against another target, which is cleared first. delayed_name_removal is how the script begins. */
struct script_target;
MRD_MUST_CHECK enum mrd_status mrd_script_run_on(struct script_target *target, const char *name,
                                                 struct mrd_bytes script, bool delayed_name_removal,
                                                 struct mrd_script_report *report,
                                                 struct mrd_error *err);

/* Writes what each evaluation of a script returns, one line per series, values as hexadecimal bits,
 * instead of comparing. For comparing with another engine bit by bit. */
MRD_MUST_CHECK enum mrd_status mrd_script_print(struct mrd_bytes script, bool delayed_name_removal,
                                                struct mrd_buf *out, struct mrd_error *err);

#endif
