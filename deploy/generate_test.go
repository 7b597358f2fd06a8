package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gaia-host/gaia/internal/testkit"
)

// The alert rules and dashboards are written from what follows, the same for each
// subsystem: `UPDATE=1 go test ./deploy` writes them anew.

func subsystems() []string { return []string{"api", "files", "browser", "process", "network"} }

// rule is one alert. In its texts NAME stands for the subsystem.
type rule struct{ alert, expr, wait, severity, summary string }

// wholeRules are about gaia as a whole.
func wholeRules() []rule {
	return []rule{
		{"GaiaDown", `up{job="gaia"} == 0`, "1m", "critical", "gaia does not answer"},
		{"GaiaReloadRefused", `increase(gaia_policy_reloads_total{result="refused"}[10m]) > 0`, "0m", "warning", "a change of policies or configuration was refused; the earlier ones are in force"},
		{"GaiaPolicyFaults", `sum by (policy) (rate(gaia_policy_faults_total[5m])) > 0.05 * sum by (policy) (rate(gaia_policy_calls_total[5m]))`, "5m", "warning", "the policy {{ $labels.policy }} fails in more than 5 of 100 hooks"},
		{"GaiaPolicyNotAsked", `gaia_policy_breaker_open == 1`, "1m", "critical", "the policy {{ $labels.policy }} keeps failing and is not asked; on_failure answers for it"},
		{"GaiaSubsystemFailing", `gaia_health == 2`, "1m", "critical", "the subsystem {{ $labels.subsystem }} is failing; /health/{{ $labels.subsystem }} says why"},
		{"GaiaSubsystemDegraded", `gaia_health == 1`, "15m", "warning", "the subsystem {{ $labels.subsystem }} is degraded; /health/{{ $labels.subsystem }} says why"},
		{"GaiaUpstreamThrottles", `rate(gaia_api_upstream_429_total[5m]) > 0.2 * rate(gaia_api_started_total[5m])`, "10m", "warning", "more than a fifth of the API attempts are answered 429"},
		{"GaiaRetryBudgetSpent", `rate(gaia_api_retry_budget_spent_total[5m]) > 0`, "10m", "warning", "retries are wanted that their budget refuses"},
	}
}

// partRules are about each subsystem.
func partRules() []rule {
	return []rule{
		{"GaiaErrors", `rate(gaia_NAME_failed_total[5m]) > 0.5 * (rate(gaia_NAME_failed_total[5m]) + rate(gaia_NAME_succeeded_total[5m])) and increase(gaia_NAME_failed_total[5m]) >= 20`, "5m", "warning", "more than half of the attempts of NAME fail"},
		{"GaiaQueueStuck", `gaia_NAME_queued > 0 and rate(gaia_NAME_started_total[2m]) == 0`, "5m", "critical", "operations of NAME wait and none starts"},
		{"GaiaQueueFull", `increase(gaia_NAME_denied_queue_total[5m]) > 0`, "5m", "warning", "operations of NAME are denied because their queue is full"},
		{"GaiaBreakerOpen", `gaia_NAME_breaker_open > 0`, "5m", "warning", "keys of NAME keep failing and are not let through"},
	}
}

func named(text, name string) string {
	return string(bytes.ReplaceAll([]byte(text), []byte("NAME"), []byte(name)))
}

func alerts() []byte {
	var b bytes.Buffer
	b.WriteString("# Alert rules for Prometheus, checked by promtool. Written by deploy/generate_test.go.\ngroups:\n")
	group := func(name string, rules []rule, subsystem string) {
		fmt.Fprintf(&b, "  - name: %s\n    rules:\n", name)
		for _, r := range rules {
			fmt.Fprintf(&b, "      - alert: %s\n        expr: %s\n        for: %s\n        labels: { severity: %s", r.alert, named(r.expr, subsystem), r.wait, r.severity)
			if subsystem != "" {
				fmt.Fprintf(&b, ", subsystem: %s", subsystem)
			}
			fmt.Fprintf(&b, " }\n        annotations: { summary: %q }\n", named(r.summary, subsystem))
		}
	}
	group("gaia", wholeRules(), "")
	for _, name := range subsystems() {
		group("gaia-"+name, partRules(), name)
	}
	return b.Bytes()
}

// panel is one chart: a title, a unit of Grafana, and queries by legend.
type panel struct {
	title, unit string
	queries     [][2]string // legend, expression
}

func overview() []panel {
	var rates, failures, health panel
	rates = panel{title: "Attempts started", unit: "ops"}
	failures = panel{title: "Share of attempts that failed", unit: "percentunit"}
	health = panel{title: "Health (0 ok, 1 degraded, 2 failing)", unit: "none", queries: [][2]string{{"{{subsystem}}", "gaia_health"}}}
	for _, name := range subsystems() {
		rates.queries = append(rates.queries, [2]string{name, named("rate(gaia_NAME_started_total[$__rate_interval])", name)})
		failures.queries = append(failures.queries, [2]string{name, named("rate(gaia_NAME_failed_total[$__rate_interval]) / (rate(gaia_NAME_failed_total[$__rate_interval]) + rate(gaia_NAME_succeeded_total[$__rate_interval]))", name)})
	}
	return []panel{
		health, rates, failures,
		{"Hooks called", "ops", [][2]string{{"{{policy}}", "rate(gaia_policy_calls_total[$__rate_interval])"}}},
		{"Hooks that failed", "ops", [][2]string{{"{{policy}} {{kind}}", "rate(gaia_policy_faults_total[$__rate_interval])"}}},
		{"Generation of policies", "none", [][2]string{{"generation", "gaia_policy_generation"}}},
		{"Numbers of policies", "none", [][2]string{{"{{policy}} {{name}}", "gaia_policy_value"}}},
		{"Memory", "bytes", [][2]string{{"resident", "process_resident_memory_bytes"}, {"heap", "go_memstats_heap_alloc_bytes"}}},
		{"Goroutines and open files", "none", [][2]string{{"goroutines", "go_goroutines"}, {"files", "process_open_fds"}}},
	}
}

func dashboard(name string) []panel {
	rate := func(metric string) string { return named("rate(gaia_NAME_"+metric+"[$__rate_interval])", name) }
	quantile := func(q string) [2]string {
		return [2]string{"p" + q[2:], named("histogram_quantile("+q+", sum by (le) (rate(gaia_NAME_attempt_duration_seconds_bucket[$__rate_interval])))", name)}
	}
	return []panel{
		{"Operations", "ops", [][2]string{{"begun", rate("requests_total")}, {"started", rate("started_total")}, {"succeeded", rate("succeeded_total")}, {"failed", rate("failed_total")}, {"canceled", rate("canceled_total")}}},
		{"Time of attempts", "s", [][2]string{quantile("0.50"), quantile("0.95"), quantile("0.99")}},
		{"Denied", "ops", [][2]string{
			{"policy", rate("denied_policy_total")}, {"limit", rate("denied_limit_total")}, {"queue", rate("denied_queue_total")}, {"breaker", rate("denied_breaker_total")},
			{"max_wait", rate("denied_max_wait_total")}, {"deadline", rate("denied_deadline_total")}, {"closed", rate("denied_closed_total")},
		}},
		{"Under way and waiting", "none", [][2]string{{"in flight", named("gaia_NAME_in_flight", name)}, {"queued", named("gaia_NAME_queued", name)}}},
		{"Time spent waiting, in each second", "s", [][2]string{{"waits", rate("wait_seconds_total")}}},
		{"Keys", "none", [][2]string{{"keys", named("gaia_NAME_keys", name)}, {"held back by a breaker", named("gaia_NAME_breaker_open", name)}}},
	}
}

// grafana is the dashboard file of some panels.
func grafana(t *testing.T, uid, title string, panels []panel) []byte {
	t.Helper()
	source := map[string]string{"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
	var list []map[string]any
	for i, p := range panels {
		var targets []map[string]any
		for j, q := range p.queries {
			targets = append(targets, map[string]any{"refId": string(rune('A' + j)), "datasource": source, "legendFormat": q[0], "expr": q[1]})
		}
		list = append(list, map[string]any{"id": i + 1, "type": "timeseries", "title": p.title, "datasource": source, "targets": targets,
			"gridPos":     map[string]int{"x": i % 3 * 8, "y": i / 3 * 8, "w": 8, "h": 8},
			"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.unit, "min": 0}, "overrides": []any{}}})
	}
	text, err := json.MarshalIndent(map[string]any{
		"uid": uid, "title": title, "tags": []string{"gaia"}, "schemaVersion": 39, "refresh": "10s", "timezone": "browser", "editable": true,
		"time":   map[string]string{"from": "now-1h", "to": "now"},
		"panels": list,
		"templating": map[string]any{"list": []any{map[string]any{
			"name": "DS_PROMETHEUS", "label": "Data source", "type": "datasource", "query": "prometheus",
		}}},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// files are all that is generated, by path.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"alerts.yml": alerts(), filepath.Join("dashboards", "overview.json"): grafana(t, "gaia-overview", "gaia", overview())}
	for _, name := range subsystems() {
		all[filepath.Join("dashboards", name+".json")] = grafana(t, "gaia-"+name, "gaia: "+name, dashboard(name))
	}
	return all
}

func TestGeneratedFilesAreCurrent(t *testing.T) {
	for name, want := range files(t) {
		if os.Getenv("UPDATE") != "" {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what generate_test.go makes of it (%v); UPDATE=1 go test ./deploy writes it", name, err)
		}
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	path := testkit.Program(t, "promtool")
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

func TestAlertRulesAreValid(t *testing.T) { promtool(t, "check", "rules", "alerts.yml") }

func TestPrometheusConfigIsValid(t *testing.T) { promtool(t, "check", "config", "prometheus.yml") }

// The rules fire when they should, and are silent when nothing is wrong or nothing
// happens: alerts_test.yml says when.
func TestAlertRulesFire(t *testing.T) { promtool(t, "test", "rules", "alerts_test.yml") }
