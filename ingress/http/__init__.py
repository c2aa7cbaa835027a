"""HTTP as the ingress speaks it: connections and their limits, requests, answers, problems."""
