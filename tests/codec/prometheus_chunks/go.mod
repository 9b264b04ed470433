module prometheus_chunks

go 1.26

require github.com/prometheus/prometheus v0.314.0
