# The policy of the control plane: who may do what, and when. The same rules as in
# services/policies.py; one table of cases in tests/stack holds both to them.
#
#   opa run --server stack/opa/control.rego
#   POST /v1/data/control/verdict {"input": {...}} -> {"result": {"allow", "reasons"}}
package control

# Both are always said, so that an answer without them is none.
verdict := {"allow": false, "reasons": ["malformed"]} if not well_formed

verdict := {"allow": count(denied) == 0, "reasons": denied} if well_formed

most_replicas := 100

opens := 8

closes := 18

core_replicas := 2

denied contains "viewers-change-nothing" if input.role == "viewer"

denied contains "delete-needs-admin" if {
	input.action == "delete"
	input.role != "admin"
}

denied contains "outside-working-hours" if {
	takes_away
	not working_hours
	not overrides
}

denied contains "too-many-replicas" if {
	input.action == "scale"
	input.role != "admin"
	input.replicas > most_replicas
}

denied contains "core-needs-two" if {
	startswith(input.workload, "core-")
	input.action == "delete"
}

denied contains "core-needs-two" if {
	startswith(input.workload, "core-")
	input.action == "scale"
	input.replicas < core_replicas
}

denied contains "frozen" if {
	input.facts.frozen
	not overrides
}

denied contains "unknown-workload" if input.facts.replicas == null

takes_away if input.action == "delete"

takes_away if {
	input.action == "scale"
	is_number(input.facts.replicas)
	input.replicas < input.facts.replicas
}

working_hours if {
	input.hour >= opens
	input.hour < closes
}

overrides if {
	input.emergency
	input.role == "admin"
}

# A rule about a field that is not there would deny nothing.
well_formed if {
	input.action in {"scale", "restart", "delete"}
	input.role in {"viewer", "operator", "admin"}
	is_name(input.workload)
	is_name(input.requester)
	is_count(input.replicas)
	is_count(input.hour)
	input.hour <= 23
	is_boolean(input.emergency)
	is_boolean(input.facts.frozen)
	known_or_not(input.facts.replicas)
}

known_or_not(replicas) if replicas == null

known_or_not(replicas) if is_count(replicas)

is_name(value) if {
	is_string(value)
	value != ""
}

is_count(value) if {
	is_number(value)
	value >= 0
	value == floor(value)
}
