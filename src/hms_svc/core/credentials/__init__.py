"""What a credential is and when it is good: tokens, API keys. The step that uses them is authenticate.py."""
