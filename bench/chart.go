package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"
)

// Measures of the chart, in pixels.
const (
	chartWidth = 960
	margin     = 36
	barLeft    = 276 // where all bars start
	barWidth   = 516 // of the longest bar
	rowHeight  = 27
	barHeight  = 17
)

// A chart has a panel for each algorithm. Each panel has its own scale.
type chart struct {
	Title              string
	Subtitle           []string
	Width, Height      int
	Left, Right        int
	Panels             []panel
	FooterY            int
	Footer             []string
	BarLeft, BarHeight int
	Description        string // read by screen readers
}

type panel struct {
	Name, Note string
	Y          int     // of the heading
	One        float64 // where a bar of 1 ends
	Top, End   int     // of the bars
	Bars       []chartBar
}

type chartBar struct {
	Label, Class, Ratio, Time string
	Y                         int
	Length, After             float64 // After is where the numbers start
}

// writeChart draws how long it takes to accept a request, as multiples of the
// bare signature check.
func writeChart(path string, d description, s *samples) error {
	var svg bytes.Buffer
	if err := chartTemplate.Execute(&svg, newChart(d, s)); err != nil {
		return err
	}
	return os.WriteFile(path, svg.Bytes(), 0o644)
}

func newChart(d description, s *samples) chart {
	c := chart{
		Title: "The price of a JWT middleware, in bare signature checks",
		Subtitle: []string{
			"Time to accept a request with a token of 12 claims, from the Authorization header to the handler that reads the subject.",
			fmt.Sprintf("One core, medians of %d rounds. Each panel has its own linear scale. Less is better.", d.rounds),
		},
		Width: chartWidth, Left: margin, Right: chartWidth - margin, BarLeft: barLeft, BarHeight: barHeight,
	}
	y := 138
	for _, alg := range algorithms[:2] { // the results of the others look like those of RS256
		p := newPanel(alg, y, s)
		c.Panels = append(c.Panels, p)
		c.Description += describePanel(p)
		y = p.End + 56
	}
	c.FooterY = y - 14
	c.Footer = slices.Concat(
		[]string{strings.Join([]string{d.machine, d.platform, d.date}, " · ")},
		wrap(d.versions, " · ", 130),
	)
	c.Height = c.FooterY + 18*len(c.Footer) + 16
	return c
}

func newPanel(alg string, y int, s *samples) panel {
	base := on(1, accept(alg, "bare"))
	p := panel{Name: alg, Y: y, Top: y + 14, Note: "bare check: " + duration(s.of(base).median())}
	if alg == "HS256" {
		p.Note += ", with hmac.New for each check. go-oidc does not support HMAC."
	}
	measured := slices.DeleteFunc(slices.Clone(libraries), func(l library) bool {
		return l.name == "bare-reset" || len(s.of(on(1, accept(alg, l.name)))) == 0
	})
	ratio := func(l library) spread { return s.ratio(on(1, accept(alg, l.name)), base) }
	slices.SortStableFunc(measured, func(a, b library) int { return ratio(a).compare(ratio(b)) })
	longest := 1.0
	if len(measured) > 0 {
		longest = ratio(measured[len(measured)-1]).median()
	}
	// CacheSize is off by default, so its bar comes last.
	slices.SortStableFunc(measured, func(a, b library) int { return isCached(a) - isCached(b) })
	if len(measured) == 0 {
		p.End = p.Top
		return p
	}
	scale := barWidth / longest
	p.One = barLeft + scale
	for i, l := range measured {
		class := "other"
		switch {
		case l.name == "bare":
			class = "bare"
		case strings.HasPrefix(l.name, "jwtgate"):
			class = "ours"
		}
		length := scale * ratio(l).median()
		after := barLeft + length
		if after < p.One && p.One < after+120 {
			after = p.One // otherwise the line at 1 would cross the numbers
		}
		p.Bars = append(p.Bars, chartBar{
			Label:  l.label,
			Class:  class,
			Ratio:  ratio(l).multiple(),
			Time:   duration(s.of(on(1, accept(alg, l.name))).median()),
			Y:      p.Top + i*rowHeight,
			Length: length,
			After:  after + 8,
		})
	}
	p.End = p.Top + len(p.Bars)*rowHeight
	return p
}

// isCached returns 1 for jwtgate with CacheSize, and 0 for anything else.
func isCached(l library) int {
	if l.name == "jwtgate-cached" {
		return 1
	}
	return 0
}

func describePanel(p panel) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", p.Name)
	for _, bar := range p.Bars {
		fmt.Fprintf(&b, " %s %s;", bar.Label, bar.Ratio)
	}
	return b.String() + " "
}

// duration formats nanoseconds.
func duration(ns float64) string {
	if ns < 1000 {
		return fmt.Sprintf("%.0f ns", ns)
	}
	return fmt.Sprintf("%.1f µs", ns/1000)
}

// wrap joins words into lines of at most width characters.
func wrap(words []string, separator string, width int) (lines []string) {
	for _, word := range words {
		if last := len(lines) - 1; last >= 0 && len([]rune(lines[last]+separator+word)) <= width {
			lines[last] += separator + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

var chartTemplate = template.Must(template.New("chart").Funcs(template.FuncMap{
	"text": func(s string) (string, error) {
		var b strings.Builder
		err := xml.EscapeText(&b, []byte(s))
		return b.String(), err
	},
	"add":  func(a, b int) int { return a + b },
	"line": func(y, i int) int { return y + 18*i },
}).Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{.Width}} {{.Height}}" width="{{.Width}}" height="{{.Height}}" role="img" aria-labelledby="title description">
<title id="title">{{text .Title}}</title>
<desc id="description">{{text .Description}}</desc>
<style>
svg { --page: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --other: #afb8c1; --ours: #0969da; --bare: #59636e; }
@media (prefers-color-scheme: dark) {
svg { --page: #0d1117; --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --other: #59636e; --ours: #4493f8; --bare: #9198a1; }
}
text { font: 14px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: var(--ink); }
.title { font-size: 21px; font-weight: 600; }
.panel { font-size: 16px; font-weight: 600; }
.soft { fill: var(--soft); font-weight: 400; font-size: 13px; }
.small { fill: var(--soft); font-weight: 400; font-size: 12px; }
.label { text-anchor: end; }
.strong { font-weight: 600; }
.other { fill: var(--other); }
.ours { fill: var(--ours); }
.bare { fill: var(--bare); }
.one { stroke: var(--bare); stroke-width: 1; stroke-dasharray: 3 3; }
</style>
<rect width="{{.Width}}" height="{{.Height}}" rx="8" fill="var(--page)" stroke="var(--line)"/>
<text x="{{.Left}}" y="48" class="title">{{text .Title}}</text>
{{- $chart := .}}
{{- range $i, $line := .Subtitle}}
<text x="{{$chart.Left}}" y="{{line 74 $i}}" class="soft">{{text $line}}</text>
{{- end}}
{{- range .Panels}}
<text x="{{$chart.Left}}" y="{{.Y}}" class="panel">{{text .Name}}<tspan dx="10" class="soft">{{text .Note}}</tspan></text>
<line x1="{{printf "%.1f" .One}}" x2="{{printf "%.1f" .One}}" y1="{{add .Top -5}}" y2="{{.End}}" class="one"/>
{{- range .Bars}}
<text x="{{add $chart.BarLeft -12}}" y="{{add .Y 13}}" class="label{{if eq .Class "ours"}} strong{{end}}">{{text .Label}}</text>
<rect x="{{$chart.BarLeft}}" y="{{.Y}}" width="{{printf "%.1f" .Length}}" height="{{$chart.BarHeight}}" rx="2" class="{{.Class}}"/>
<text x="{{printf "%.1f" .After}}" y="{{add .Y 13}}"{{if eq .Class "ours"}} class="strong"{{end}}>{{text .Ratio}}<tspan dx="8" class="small">{{text .Time}}</tspan></text>
{{- end}}
{{- end}}
{{- range $i, $line := .Footer}}
<text x="{{$chart.Left}}" y="{{line $chart.FooterY $i}}" class="small">{{text $line}}</text>
{{- end}}
</svg>
`))
