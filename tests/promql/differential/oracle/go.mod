module oracle

go 1.26

require (
	github.com/prometheus/common v0.70.1
	github.com/prometheus/prometheus v0.314.0
)

tool github.com/prometheus/prometheus/cmd/prometheus
